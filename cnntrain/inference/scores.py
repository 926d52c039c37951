"""Metrics of predictions: accuracy with its confidence interval, per class, calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnntrain.analysis.calibration import compute_calibration_error
from cnntrain.analysis.significance import compute_wilson_interval
from cnntrain.training.evaluation import compute_headline_metrics
from cnntrain.training.metrics import score_by_class


def score_predictions(
    log_probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return the metrics of predictions (N, classes) for labels (N,), as a dict that JSON can hold.

    `interval` is Wilson's 95 % interval of the accuracy: it covers other images of the same kind,
    but not other trainings. `confusion[i][j]` counts the images of class i that were called j. A
    metric that is not defined for a class, as the F1 of a class without images, is None.
    """
    guesses = log_probabilities.argmax(axis=-1)
    hits, confidence = guesses == labels, np.exp(log_probabilities.max(axis=-1))
    confusion, *scores = score_by_class(labels, guesses, len(class_names))
    names = ("precision", "recall", "f1", "images")
    columns = {
        name: replace_nan_by_none(column) for name, column in zip(names, scores, strict=True)
    }
    return compute_headline_metrics(log_probabilities, labels) | {
        "images": len(labels),
        "interval": list(compute_wilson_interval(int(hits.sum()), len(hits))),
        "top5": compute_top_accuracy(log_probabilities, labels, 5),
        "ece": compute_calibration_error(confidence, hits),
        "classes": [
            {"name": name, **{key: column[n] for key, column in columns.items()}}
            for n, name in enumerate(class_names)
        ],
        "confusion": confusion.tolist(),
    }


def replace_nan_by_none(column: np.ndarray) -> list[float | None]:
    """Return the values (classes,) of a metric as a list with None for NaN, which JSON lacks."""
    return [None if np.isnan(figure) else figure for figure in column.tolist()]


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
