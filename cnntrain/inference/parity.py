"""Whether an exported network says what the network says that it was made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CHECKED_IMAGES = 256  # images that an exported file is run on, spread over the test split
CALIBRATION_IMAGES = 200  # the same of the training split; more change the ranges little
BATCH_SIZES = (1, 7, 32)  # sizes that it must take
TOLERANCE = 1e-4  # of a probability
# Of 8 bits: the share of images that may change their class, the mean difference of a probability.
QUANTIZED_MAX_CHANGED, QUANTIZED_MAX_MEAN = 0.05, 0.05


@dataclass(frozen=True)
class Parity:
    """How far what was written is from the network, on how many images.

    `changed` have another likeliest class.
    """

    images: int
    largest_difference: float
    mean_difference: float
    changed: int

    def is_close(self, quantized: bool) -> bool:
        if quantized:
            allowed = QUANTIZED_MAX_CHANGED * self.images
            return self.changed <= allowed and self.mean_difference <= QUANTIZED_MAX_MEAN
        return self.largest_difference <= TOLERANCE

    def __str__(self) -> str:
        other = f"{self.changed} have another class" if self.changed else "all have the same class"
        return (
            f"probabilities of {self.images} images differ by {self.largest_difference:.1e} at "
            f"most, {self.mean_difference:.1e} on average; {other}"
        )


def compare_predictions(
    run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, expected: np.ndarray
) -> Parity:
    """Compare `run` of images (N, H, W, C) uint8 with probabilities (N, classes).

    Batches are of several sizes. Not a number agrees with nothing.
    """
    parts, start, size = [], 0, 0
    while start < len(images):
        size = next((wanted for wanted in BATCH_SIZES if wanted > size), size)
        parts.append(run(images[start : start + size]))
        start += size
    found = np.concatenate(parts)
    differences = np.abs(found - expected)
    return Parity(
        len(images),
        float(differences.max()),
        float(differences.mean()),
        int((found.argmax(axis=-1) != expected.argmax(axis=-1)).sum()),
    )


def pick_spread_rows(count: int, wanted: int) -> np.ndarray:
    """At most so many of `count` rows, evenly."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(int))
