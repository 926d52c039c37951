"""TrivialAugment, wide: one operation of random strength (Mueller & Hutter, 2021)."""

from typing import Literal

import numpy as np

from cnntrain.data.augmentations.ops.magnitudes import (
    NO_MAGNITUDE,
    MagnitudeRange,
    compute_magnitudes,
)
from cnntrain.data.augmentations.ops.operations import perform_operations
from cnntrain.spec.knobs import Pixel

HIGHEST = 30
# The wide search space, in the order and with the ranges of the authors' code.
MAGNITUDE_RANGES = {
    "identity": NO_MAGNITUDE,
    "autocontrast": NO_MAGNITUDE,
    "equalize": NO_MAGNITUDE,
    "rotate": MagnitudeRange(0, 135, whole=True, signed=True),  # degrees
    "solarize": MagnitudeRange(256, 0, whole=True),  # the first level that is inverted
    "color": MagnitudeRange(0.01, 2),  # a factor
    "posterize": MagnitudeRange(8, 2, whole=True),  # bits
    "contrast": MagnitudeRange(0.01, 2),
    "brightness": MagnitudeRange(0.01, 2),
    "sharpness": MagnitudeRange(0.01, 2),
    "shear_x": MagnitudeRange(0, 0.99, signed=True),  # pixels a pixel
    "shear_y": MagnitudeRange(0, 0.99, signed=True),
    "translate_x": MagnitudeRange(0, 32, whole=True, signed=True),  # pixels, whatever the size
    "translate_y": MagnitudeRange(0, 32, whole=True, signed=True),
}


def trivialaugment(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    fill: Pixel,
    interpolation: Literal["nearest", "bilinear"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return each image after one random operation, at a level drawn from 0 to 30.

    `fill` is the grey level beyond the edges of images that turn or move.
    """
    names, strengths = draw(len(images), random)
    return perform_operations(images, names, strengths, fill, interpolation), labels


def draw(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the operation of each image and its magnitude, each (1, B)."""
    names = random.choice(list(MAGNITUDE_RANGES), (1, count))
    levels = random.integers(0, HIGHEST, (1, count), endpoint=True)
    return names, compute_magnitudes(MAGNITUDE_RANGES, names, levels, HIGHEST, random)
