"""TrivialAugment, wide: one operation, of any strength (Mueller & Hutter, 2021)."""

from typing import Literal

import numpy as np

from cnntrain.data.augmentations.ops.magnitudes import NOTHING, Scale, magnitudes
from cnntrain.data.augmentations.ops.operations import perform
from cnntrain.spec.knobs import Pixel

HIGHEST = 30
# The wide search space, in the order and with the ranges of the code of the authors.
SCALES = {
    "identity": NOTHING,
    "autocontrast": NOTHING,
    "equalize": NOTHING,
    "rotate": Scale(0, 135, whole=True, signed=True),  # degrees
    "solarize": Scale(256, 0, whole=True),  # the first level that is inverted
    "color": Scale(0.01, 2),  # a factor
    "posterize": Scale(8, 2, whole=True),  # bits
    "contrast": Scale(0.01, 2),
    "brightness": Scale(0.01, 2),
    "sharpness": Scale(0.01, 2),
    "shear_x": Scale(0, 0.99, signed=True),  # pixels a pixel
    "shear_y": Scale(0, 0.99, signed=True),
    "translate_x": Scale(0, 32, whole=True, signed=True),  # pixels, whatever the size
    "translate_y": Scale(0, 32, whole=True, signed=True),
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
    """Return images after one operation each, at a level drawn from 0 to 30.

    `fill` is the grey level beyond the edges of images that turn or move.
    """
    names, strengths = draw(len(images), random)
    return perform(images, names, strengths, fill, interpolation), labels


def draw(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The operation of each image and its magnitude, each (1, B)."""
    names = random.choice(list(SCALES), (1, count))
    levels = random.integers(0, HIGHEST, (1, count), endpoint=True)
    return names, magnitudes(SCALES, names, levels, HIGHEST, random)
