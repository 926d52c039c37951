"""Metrics of predictions: accuracy with its confidence interval, per class, calibration."""

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
    """Return the metrics of predictions (N, classes) for labels (N,), as a dict that JSON can hold.

    `interval` is Wilson's 95 % interval of the accuracy: it covers other images of the same kind,
    but not other trainings. `confusion[i][j]` counts the images of class i that were called j. A
    metric that is not defined for a class, as the F1 of a class without images, is None.
    """
    guesses = log_probabilities.argmax(axis=-1)
    confusion, *scores = score_by_class(labels, guesses, len(class_names))
    names = ("precision", "recall", "f1", "images")
    columns = {
        name: replace_nan_by_none(column) for name, column in zip(names, scores, strict=True)
    }
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
    """Return the values (classes,) of a metric as a list with None for NaN, which JSON lacks."""
    return [None if np.isnan(figure) else figure for figure in column.tolist()]


def compute_wilson_interval(hits: int, count: int) -> list[float]:
    """Return the ends of Wilson's 95 % interval (1927) of the share `hits` / `count`."""
    interval = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return [float(interval.low), float(interval.high)]


def compute_top_accuracy(
    log_probabilities: np.ndarray, labels: np.ndarray, count: int
) -> float | None:
    """Return the share of labels (N,) that are among the `count` likeliest classes.

    Returns None if there are not more than `count` classes. Of equally likely classes, those with
    lower numbers come first. (`sklearn.metrics.top_k_accuracy_score` takes the last.)
    """
    if log_probabilities.shape[-1] <= count:
        return None
    likeliest = np.argsort(-log_probabilities, axis=-1, kind="stable")[:, :count]
    return float((likeliest == labels[:, np.newaxis]).any(axis=-1).mean())


def compute_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3).

    It is the mean over all images of |accuracy - confidence| of their bin. The 15 bins of
    confidence have the same width. `probabilities` are (N, classes) and `labels` (N,).
    """
    confidence = probabilities.max(axis=-1)
    hits = probabilities.argmax(axis=-1) == labels
    bins = np.clip(
        np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1
    )  # (low, high]
    gaps = np.bincount(bins, weights=hits - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))
