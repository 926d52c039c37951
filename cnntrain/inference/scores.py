"""Metrics of predictions: accuracy with its confidence interval, per class, calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from cnntrain.analysis.calibration import compute_calibration_error
from cnntrain.analysis.label_scores import compute_label_metrics, score_labels
from cnntrain.analysis.significance import compute_wilson_interval
from cnntrain.training.metrics import compute_headline_metrics, score_by_class


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


def score_label_predictions(
    log_odds: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray
) -> dict[str, Any]:
    """Return the metrics of several labels an image, as a dict that JSON can hold.

    `log_odds` and `labels` are (N, classes), `thresholds` (classes,). The metrics are at thresholds
    of a half; those of `at_thresholds`, and of each class, are at `thresholds`. There `interval` is
    Wilson's 95 % interval of the exact match. What is not defined for a class is None.
    """
    scores = score_labels(expit(log_odds), labels, thresholds)
    matches = round(scores.exact_match * len(labels))
    columns = {
        "average_precision": scores.average_precision, "threshold": thresholds,
        "precision": scores.precision, "recall": scores.recall, "f1": scores.f1,
        "images": scores.support,
    }  # fmt: skip
    plain = {name: replace_nan_by_none(column) for name, column in columns.items()}
    return compute_label_metrics(log_odds, labels) | {
        "images": len(labels),
        "at_thresholds": scores.at_thresholds()
        | {"interval": list(compute_wilson_interval(matches, len(labels)))},
        "classes": [
            {"name": name, **{key: column[n] for key, column in plain.items()}}
            for n, name in enumerate(class_names)
        ],
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
