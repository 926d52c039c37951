"""Compare the predictions of an exported network with those of the network itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CHECKED_IMAGES = 256  # images that an exported file is run on, spread over the test split
CALIBRATION_IMAGES = 200  # of the training split; more of them change the 8-bit ranges little
BATCH_SIZES = (1, 7, 32)  # batch sizes that an exported file is tried with
TOLERANCE = 1e-4  # the largest difference of a probability
# With 8 bits: the share of images that may change class, and the mean difference of a probability.
QUANTIZED_MAX_CHANGED, QUANTIZED_MAX_MEAN = 0.05, 0.05


@dataclass(frozen=True)
class Parity:
    """How much the probabilities of an exported network differ from the network's own.

    `images` were compared, and `changed` of them got another class, or other labels.
    """

    images: int
    largest_difference: float
    mean_difference: float
    changed: int

    def is_close(self, quantized: bool) -> bool:
        """Return whether the differences are small enough to keep the file."""
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
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    expected: np.ndarray,
    thresholds: Sequence[float] | None = None,
) -> Parity:
    """Compare what `run` predicts for images (N, H, W, C) uint8 with probabilities (N, classes).

    The images are run in batches of several sizes. NaN is close to nothing. With `thresholds`
    (classes,) an image may have several labels.
    """
    parts, start, size = [], 0, 0
    while start < len(images):
        size = next((wanted for wanted in BATCH_SIZES if wanted > size), size)
        parts.append(run(images[start : start + size]))
        start += size
    probabilities = np.concatenate(parts)
    differences = np.abs(probabilities - expected)
    if thresholds is None:
        is_changed = probabilities.argmax(axis=-1) != expected.argmax(axis=-1)
    else:
        found, before = probabilities >= thresholds, expected >= thresholds
        is_changed = (found != before).any(axis=-1)
    return Parity(
        len(images),
        float(differences.max()),
        float(differences.mean()),
        int(is_changed.sum()),
    )


def pick_spread_rows(count: int, wanted: int) -> np.ndarray:
    """Return at most `wanted` row numbers, evenly spread over `count` rows."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(int))
