"""AutoAugment: the policy learnt on CIFAR-10 (Cubuk et al., 2018, arXiv:1805.09501)."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from cnntrain.data.augmentations.ops.magnitudes import (
    NO_MAGNITUDE,
    MagnitudeRange,
    compute_magnitudes,
)
from cnntrain.data.augmentations.ops.operations import perform_operations
from cnntrain.spec.knobs import Pixel

HIGHEST = 10
# Table 7 of the paper: sub-policies of two operations, each with its probability and its level.
POLICY = [
    [("invert", 0.1, 7), ("contrast", 0.2, 6)],
    [("rotate", 0.7, 2), ("translate_x", 0.3, 9)],
    [("sharpness", 0.8, 1), ("sharpness", 0.9, 3)],
    [("shear_y", 0.5, 8), ("translate_y", 0.7, 9)],
    [("autocontrast", 0.5, 8), ("equalize", 0.9, 2)],
    [("shear_y", 0.2, 7), ("posterize", 0.3, 7)],
    [("color", 0.4, 3), ("brightness", 0.6, 7)],
    [("sharpness", 0.3, 9), ("brightness", 0.7, 9)],
    [("equalize", 0.6, 5), ("equalize", 0.5, 1)],
    [("contrast", 0.6, 7), ("sharpness", 0.6, 5)],
    [("color", 0.7, 7), ("translate_x", 0.5, 8)],
    [("equalize", 0.3, 7), ("autocontrast", 0.4, 8)],
    [("translate_y", 0.4, 3), ("sharpness", 0.2, 6)],
    [("brightness", 0.9, 6), ("color", 0.2, 8)],
    [("solarize", 0.5, 2), ("invert", 0.0, 3)],
    [("equalize", 0.2, 0), ("autocontrast", 0.6, 0)],
    [("equalize", 0.2, 8), ("equalize", 0.6, 4)],
    [("color", 0.9, 9), ("equalize", 0.6, 6)],
    [("autocontrast", 0.8, 4), ("solarize", 0.2, 8)],
    [("brightness", 0.1, 3), ("color", 0.7, 0)],
    [("solarize", 0.4, 5), ("autocontrast", 0.9, 3)],
    [("translate_y", 0.9, 9), ("translate_y", 0.7, 9)],
    [("autocontrast", 0.9, 2), ("solarize", 0.8, 3)],
    [("equalize", 0.8, 8), ("invert", 0.1, 3)],
    [("translate_y", 0.7, 9), ("autocontrast", 0.9, 1)],
]


def autoaugment_cifar(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    fill: Pixel,
    interpolation: Literal["nearest", "bilinear"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return each image after a random sub-policy: two operations, each done with its probability.

    `fill` is the grey level beyond the edges of images that turn or move.
    """
    names, strengths = draw(images.shape, random)
    return perform_operations(images, names, strengths, fill, interpolation), labels


def make_magnitude_ranges(height: int, width: int) -> dict[str, MagnitudeRange]:
    """Return the magnitudes of each operation at levels 0 to 10, ordered as in the paper's table 6.

    The table's translations are for images of 331 pixels; the authors' code moves CIFAR's images of
    32 pixels by up to 10. That code also posterizes to 4 to 0 bits, not to the table's 8 to 4.
    """
    share = 10 / 32
    return {
        "identity": NO_MAGNITUDE,  # where an operation is not done; not in the table
        "shear_y": MagnitudeRange(0, 0.3, signed=True),  # pixels a pixel
        "translate_x": MagnitudeRange(0, share * width, whole=True, signed=True),  # pixels
        "translate_y": MagnitudeRange(0, share * height, whole=True, signed=True),
        "rotate": MagnitudeRange(0, 30, whole=True, signed=True),  # degrees
        "autocontrast": NO_MAGNITUDE,
        "invert": NO_MAGNITUDE,
        "equalize": NO_MAGNITUDE,
        "solarize": MagnitudeRange(256, 0, whole=True),  # the first level that is inverted
        "posterize": MagnitudeRange(8, 4, whole=True),  # bits
        "contrast": MagnitudeRange(0.1, 1.9),  # a factor
        "color": MagnitudeRange(0.1, 1.9),
        "brightness": MagnitudeRange(0.1, 1.9),
        "sharpness": MagnitudeRange(0.1, 1.9),
    }


def draw(shape: tuple[int, ...], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the operations of each image and their magnitudes, each (2, B).

    An operation that is not done is "identity".
    """
    count, height, width, _ = shape
    chosen = random.integers(0, len(POLICY), count)
    names, probabilities, levels = (part[chosen].T for part in split_policy(POLICY))  # each (2, B)
    names = np.where(random.random(names.shape) < probabilities, names, "identity")
    return names, compute_magnitudes(
        make_magnitude_ranges(height, width), names, levels, HIGHEST, random
    )


def split_policy(policy: list[list[tuple[str, float, int]]]) -> Iterator[np.ndarray]:
    """Yield the names, the probabilities and the levels of a policy, each (25, 2)."""
    for part in range(3):
        yield np.array([[operation[part] for operation in pair] for pair in policy])
