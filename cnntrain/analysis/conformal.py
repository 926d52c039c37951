"""Temperatures and sets of labels with a promise, fitted on images that are new to a network.

A conformal set holds the true label of at least a promised share of images, if they and those of
calibration are drawn alike, whatever the network is (Vovk et al. 2005; Angelopoulos and Bates 2021,
arXiv:2107.07511, section 1).
"""

import math

import numpy as np
from scipy.special import betaincinv, log_softmax

# Temperatures are searched for between the exponentials of these. Networks are found from 0.5 to 5.
LOG_TEMPERATURES = (-3.0, 5.0)
DIGITS = 6  # of thresholds: float32, in which exported networks compute, has as many
# Of the images that may lack their label in the set, those that may for being unlike all others.
ODD_SHARE = 0.5


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T for which softmax(logits / T) has the lowest cross-entropy.

    `logits` are (N, classes) and `labels` (N,); see Guo et al. 2017, arXiv:1706.04599, section 4.2.
    One more image counts, of average logits and of no known class: without it there is no minimum
    where every label has the largest logit. Platt (1999) has such a prior for two classes.
    """
    from scipy.optimize import minimize_scalar  # its import takes a while

    logits = logits.astype(np.float64)
    rows = np.arange(len(labels))

    def compute_loss(log_temperature: float) -> float:
        log_p = log_softmax(logits / math.exp(log_temperature), axis=-1)
        return float(-log_p[rows, labels].sum() - log_p.mean())

    found = minimize_scalar(compute_loss, bounds=LOG_TEMPERATURES, method="bounded")
    return math.exp(found.x)


def find_rank(count: int, share: float) -> int:
    """Return ceil((count + 1) * share), the rank of the conformal quantile among `count` scores."""
    return math.ceil(round((count + 1) * share, 9))  # 10 * 0.7 is 7, not a little more


def find_conformal_quantile(scores: np.ndarray, share: float) -> float:
    """Return the smallest bound that holds for a new score in `share` of all cases, or more.

    It is the ceil((n + 1) * share)-th smallest of `scores` (n,), and infinite if there are too few.
    """
    rank = find_rank(len(scores), share)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def count_needed_images(coverage: float) -> int:
    """Return how many images `fit_label_sets` needs for a coverage."""
    return math.ceil(round(1 / (ODD_SHARE * (1 - coverage)), 9)) - 1


def find_highest_coverage(count: int) -> float:
    """Return the highest coverage, in hundredths, that `count` images are enough for."""
    coverages = (hundredths / 100 for hundredths in range(99, 0, -1))
    return next((c for c in coverages if count_needed_images(c) <= count), 0.0)


def fit_label_sets(
    probabilities: np.ndarray, labels: np.ndarray, distances: np.ndarray, coverage: float
) -> tuple[float, float]:
    """Return the threshold of probabilities and the limit of distances that promise a coverage.

    The set of an image holds every label with a probability of `threshold` or more (Sadinle et al.
    2019, arXiv:1609.00451: of all sets with that coverage these have the fewest labels), and none
    if its distance is above `limit`. At most `ODD_SHARE` of the 1 - coverage images without their
    label have none for the distance. `probabilities` are (N, classes), `labels` and `distances`
    (N,), N being at least `count_needed_images`.
    """
    limit = find_conformal_quantile(distances, 1 - ODD_SHARE * (1 - coverage))
    chosen = probabilities[np.arange(len(labels)), labels]
    # An image as far away as the limit counts as refused. Then the promise is exact: a new image
    # within the limit and these images are refused by the same bound, that of all n + 1 of them.
    scores = np.where(distances >= limit, math.inf, -chosen)
    threshold = max(0.0, -find_conformal_quantile(scores, coverage))
    digit = 10**DIGITS  # rounded so that more labels, never fewer, are in the sets
    return math.floor(threshold * digit) / digit, max(1, math.ceil(limit * digit)) / digit


def compute_coverage_interval(count: int, coverage: float) -> tuple[float, float]:
    """Return in which interval the coverage lies in 95 % of all draws of `count` images.

    The promise is one for the mean of all such draws. Over these the coverage has a beta
    distribution (Angelopoulos and Bates 2021, section 3.2).
    """
    rank = find_rank(count, coverage)
    low, high = (float(betaincinv(rank, count + 1 - rank, share)) for share in (0.025, 0.975))
    return low, high
