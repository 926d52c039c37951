"""What can be said of predictions: accuracy and how sure it is, each class, calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from cnntrain.training.evaluation import compute_headline_metrics
from cnntrain.training.metrics import score_by_class

CALIBRATION_BINS = 15  # Guo et al. 2017, section 5
CONFIDENCE = 0.95


def score_predictions(
    log_probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return all figures of predictions (N, classes) for labels (N,), as JSON can say them.

    `interval` is Wilson's for the accuracy, at 95 %: what other images of the same kind would
    give, not other trainings. `confusion[i][j]` counts images of class i that were called j. A
    figure that a class does not have, as F1 without images, is None.
    """
    guesses = log_probabilities.argmax(axis=-1)
    confusion, *parts = score_by_class(labels, guesses, len(class_names))
    names = ("precision", "recall", "f1", "images")
    columns = {name: replace_nan_by_none(column) for name, column in zip(names, parts, strict=True)}
    return compute_headline_metrics(log_probabilities, labels) | {
        "images": len(labels),
        "interval": compute_wilson_interval(int((guesses == labels).sum()), len(labels)),
        "top5": compute_top_accuracy(log_probabilities, labels, 5),
        "ece": compute_calibration_error(np.exp(log_probabilities), labels),
        "classes": [
            {"name": name, **{key: column[n] for key, column in columns.items()}}
            for n, name in enumerate(class_names)
        ],
        "confusion": confusion.tolist(),
    }


def replace_nan_by_none(column: np.ndarray) -> list[float | None]:
    """Figures of classes, None for those that are not defined."""
    return [None if np.isnan(figure) else figure for figure in column.tolist()]


def compute_wilson_interval(hits: int, count: int) -> list[float]:
    """Return Wilson's interval (1927) of a share, at 95 %."""
    found = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return [float(found.low), float(found.high)]


def compute_top_accuracy(
    log_probabilities: np.ndarray, labels: np.ndarray, count: int
) -> float | None:
    """Return the share of labels (N,) that are among the `count` likeliest classes.

    None where that is all of them. Of classes that are equally likely the first come first, as in
    every guess here; `sklearn.metrics.top_k_accuracy_score` would take the last.
    """
    if log_probabilities.shape[-1] <= count:
        return None
    likeliest = np.argsort(-log_probabilities, axis=-1, kind="stable")[:, :count]
    return float((likeliest == labels[:, np.newaxis]).any(axis=-1).mean())


def compute_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3).

    The mean over all images of |accuracy - confidence| of their bin, of 15 bins of one width.
    """
    confidence = probabilities.max(axis=-1)
    hits = probabilities.argmax(axis=-1) == labels
    bins = np.clip(
        np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1
    )  # (low, high]
    gaps = np.bincount(bins, weights=hits - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))
