"""RandAugment: n random operations for each image, all of one strength (Cubuk et al., 2019)."""

from typing import Literal

import numpy as np

from cnntrain.data.augmentations.ops.magnitudes import (
    NO_MAGNITUDE,
    MagnitudeRange,
    compute_magnitudes,
)
from cnntrain.data.augmentations.ops.operations import perform_operations
from cnntrain.spec.knobs import Count, Pixel, Strength

HIGHEST = 30  # the scale of m in section 4.1 of the paper


def randaugment(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    n: Count,
    m: Strength,
    fill: Pixel,
    interpolation: Literal["nearest", "bilinear"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return each image after `n` operations of magnitude `m`, drawn with replacement.

    `fill` is the grey level beyond the edges of images that turn or move.
    """
    names, strengths = draw(images.shape, random, n, m)
    return perform_operations(images, names, strengths, fill, interpolation), labels


def make_magnitude_ranges(height: int, width: int) -> dict[str, MagnitudeRange]:
    """Return the magnitudes of each operation at levels 0 to 30, in the order of section 3.

    The ranges are those of AutoAugment (2018, table 6: 150 pixels of its 331, 4 to 8 bits), as the
    paper says. Factors are 1 at level 0 and move away from it to either side, so that a higher `m`
    is a stronger distortion; the authors' code goes from 0.1 to 1.9, past 1 on the way.
    """
    share = 150 / 331
    return {
        "identity": NO_MAGNITUDE,
        "autocontrast": NO_MAGNITUDE,
        "equalize": NO_MAGNITUDE,
        "rotate": MagnitudeRange(0, 30, whole=True, signed=True),  # degrees
        "solarize": MagnitudeRange(256, 0, whole=True),  # the first level that is inverted
        "color": MagnitudeRange(1, 1.9, signed=True),  # a factor
        "posterize": MagnitudeRange(8, 4, whole=True),  # bits
        "contrast": MagnitudeRange(1, 1.9, signed=True),
        "brightness": MagnitudeRange(1, 1.9, signed=True),
        "sharpness": MagnitudeRange(1, 1.9, signed=True),
        "shear_x": MagnitudeRange(0, 0.3, signed=True),  # pixels a pixel
        "shear_y": MagnitudeRange(0, 0.3, signed=True),
        "translate_x": MagnitudeRange(0, share * width, whole=True, signed=True),  # pixels
        "translate_y": MagnitudeRange(0, share * height, whole=True, signed=True),
    }


def draw(
    shape: tuple[int, ...], random: np.random.Generator, n: int, m: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the operations of each image and their magnitudes, each (n, B)."""
    count, height, width, _ = shape
    table = make_magnitude_ranges(height, width)
    names = random.choice(list(table), (n, count))
    return names, compute_magnitudes(table, names, m, HIGHEST, random)
