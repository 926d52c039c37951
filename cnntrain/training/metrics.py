"""Score the predictions of a split class by class, as scikit-learn does where it is defined.

A class without images has neither recall nor F1, and counts in no mean over classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnntrain.analysis.label_scores import divide_or_nan
from cnntrain.terminal.units import NO_VALUE

METRICS = ("loss", "accuracy", "balanced_accuracy", "macro_f1")
UNBALANCED_RATIO = 1.1  # largest / mean class size below which classes count as balanced
ROUNDING_IMAGES = 1  # sizes of equal classes may differ by this much after a split
MAX_CLASSES_IN_WARNING = 5  # classes that a warning names


@dataclass(frozen=True)
class Scores:
    """The scores of each class (classes,), from the most probable class of each image."""

    confusion: np.ndarray  # (classes, classes) counts: true class by predicted class
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray  # images of each class
    top5: float | None  # share of images with their class among five; None for fewer than ten

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images."""
        return float(np.nanmean(self.recall))

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have images."""
        return float(np.nanmean(self.f1))

    def list_worst_classes(self, names: Sequence[str], count: int) -> list[tuple[str, float]]:
        """Return at most `count` classes with the lowest F1 below 1, each with it, worst first."""
        order = np.argsort(self.f1, kind="stable")[:count]  # nan is last
        return [(names[n], float(self.f1[n])) for n in order.tolist() if self.f1[n] < 1]

    def list_rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return a row for each class, in their order, with texts for a table."""
        columns = zip(names, self.precision, self.recall, self.f1, self.support, strict=True)
        return [
            {"name": name, "cells": [format_score(n, 3) for n in (p, r, f)], "count": int(count)}
            for name, p, r, f, count in columns
        ]


def score_saved_predictions(predictions: Mapping[str, np.ndarray], num_classes: int) -> Scores:
    """Return the scores of the arrays of predictions.npz."""
    labels, classes = predictions["labels"], predictions["classes"]
    hits = (classes == labels[:, np.newaxis]).any(axis=1).mean()
    top5 = float(hits) if num_classes >= 2 * classes.shape[1] else None
    matrix, precision, recall, f1, support = score_by_class(labels, classes[:, 0], num_classes)
    return Scores(matrix, precision, recall, f1, support, top5)


def score_by_class(labels: np.ndarray, guesses: np.ndarray, num_classes: int) -> list[np.ndarray]:
    """Return the confusion (classes, classes), then precision, recall, F1 and support (classes,).

    A score that is not defined is nan: the precision of a class that was never predicted, the
    recall and the F1 of a class without images.
    """
    places = num_classes * labels.astype(np.int64) + guesses
    matrix = np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)
    hits, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall = divide_or_nan(hits, predicted), divide_or_nan(hits, support)
    f1 = np.where(support > 0, divide_or_nan(2 * hits, support + predicted), np.nan)
    return [matrix, precision, recall, f1, support]


def compute_headline_metrics(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the `METRICS` of predictions (N, classes) for labels (N,).

    `loss` is the mean cross-entropy in nats, `accuracy` the top-1 accuracy. `balanced_accuracy` is
    the mean recall, `macro_f1` the mean F1, both over the classes that have images.
    """
    chosen = np.take_along_axis(log_probabilities, labels[:, np.newaxis], axis=-1)
    guesses = log_probabilities.argmax(axis=-1)
    _, _, recall, f1, _ = score_by_class(labels, guesses, log_probabilities.shape[-1])
    numbers = (-chosen.mean(), (guesses == labels).mean(), np.nanmean(recall), np.nanmean(f1))
    return dict(zip(METRICS, map(float, numbers), strict=True))


def list_confused_pairs(
    confusion: np.ndarray, names: Sequence[str], count: int
) -> list[tuple[str, str, int]]:
    """Return the `count` pairs of classes that are confused most often, the commonest first.

    A pair is the true class, the class that it is called, and how many images. `confusion`
    (classes, classes) has the true class by rows.
    """
    mistakes = confusion - np.diag(confusion.diagonal())
    places = np.argsort(-mistakes, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(places, mistakes.shape)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(names[r], names[c], int(mistakes[r, c])) for r, c in pairs if mistakes[r, c]]


def warn_about_majority_class(
    labels: np.ndarray, guesses: np.ndarray, class_names: Sequence[str], remedies: Sequence[str]
) -> str | None:
    """Return a warning if predictions (N,) miss classes or are no better than the commonest class.

    Only unbalanced labels (N,) are warned of. `remedies` are settings that the run does not have.
    """
    matrix, *_, support = score_by_class(labels, guesses, len(class_names))
    common, total = int(support.argmax()), len(labels)
    always, accuracy = support[common] / total, matrix.trace() / total
    missed = [n for n in np.flatnonzero(support).tolist() if not matrix[:, n].any()]
    counts = support[support > 0]
    balanced = (
        always * len(counts) < UNBALANCED_RATIO or counts.max() - counts.min() <= ROUNDING_IMAGES
    )
    if balanced or (accuracy > always and not missed):
        return None
    parts = []
    if accuracy <= always:
        parts.append(
            f"always predicting {class_names[common]} would have a test accuracy of "
            f"{100 * always:.1f} %, and the network has {100 * accuracy:.1f} %"
        )
    if missed:
        shown = ", ".join(
            f"{class_names[n]} ({support[n]:,} test image{'s' * int(support[n] != 1)})"
            for n in missed[:MAX_CLASSES_IN_WARNING]
        )
        more = (
            f" and {len(missed) - MAX_CLASSES_IN_WARNING} more classes"
            if len(missed) > MAX_CLASSES_IN_WARNING
            else ""
        )
        parts.append(f"the network never predicts {shown}{more}")
    hint = f". Try {' and '.join(remedies)}" if remedies else ""
    return f"Warning: {'; '.join(parts)}{hint}"


def format_score(number: float, places: int) -> str:
    """Return a score as text with so many decimal places, or a dash where it is nan."""
    return NO_VALUE if math.isnan(number) else f"{number:.{places}f}"
