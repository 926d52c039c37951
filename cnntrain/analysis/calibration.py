"""Tell how far the probabilities of a network can be believed: reliability and its error."""

from dataclasses import dataclass

import numpy as np

BINS = 15  # Guo et al. 2017, section 5


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose most probable class has a probability in (low, high]."""

    low: float
    high: float
    images: int
    confidence: float  # mean probability of the most probable class
    accuracy: float


def compute_reliability(confidence: np.ndarray, hits: np.ndarray) -> list[ReliabilityBin]:
    """Return the bins that have images, from low to high; there are 15 bins of the same width.

    `confidence` (N,) is the probability of each image's most probable class, and `hits` (N,) says
    whether that class is the right one.
    """
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # (low, high]
    counts, sums, right = (
        np.bincount(bins, weights=weights, minlength=BINS) for weights in (None, confidence, hits)
    )
    return [
        ReliabilityBin(
            n / BINS, (n + 1) / BINS, int(counts[n]),
            float(sums[n] / counts[n]), float(right[n] / counts[n]),
        )
        for n in np.flatnonzero(counts).tolist()
    ]  # fmt: skip


def compute_calibration_error(confidence: np.ndarray, hits: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3).

    It is the mean over all images of |accuracy - confidence| of their bin. The arguments are those
    of `compute_reliability`.
    """
    bins = compute_reliability(confidence, hits)
    return sum(b.images * abs(b.accuracy - b.confidence) for b in bins) / len(hits)
