"""What predictions of a split say about each class: scikit-learn's numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Of the most probable classes: (classes, classes) counts, and (classes,) each."""

    confusion: np.ndarray  # true class by predicted class
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    top5: float | None  # the share of images with their class among five; None for few classes

    def rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """A row a class, in their order."""
        columns = zip(names, self.precision, self.recall, self.f1, self.support, strict=True)
        return [
            {"name": name, "cells": [f"{p:.3f}", f"{r:.3f}", f"{f:.3f}"], "count": int(count)}
            for name, p, r, f, count in columns
        ]


def scores(predictions: Mapping[str, np.ndarray], num_classes: int) -> Scores:
    """Return the scores of predictions.npz; a class that is never predicted has precision 0."""
    labels, classes = predictions["labels"], predictions["classes"]
    hits = (classes == labels[:, np.newaxis]).any(axis=1).mean()
    top5 = float(hits) if num_classes > 2 * classes.shape[1] - 1 else None
    matrix, precision, recall, f1, support = by_class(labels, classes[:, 0], num_classes)
    return Scores(matrix, precision, recall, f1, support, top5)


def by_class(labels: np.ndarray, guesses: np.ndarray, num_classes: int) -> list[np.ndarray]:
    """Return the confusion (classes, classes), and (classes,) of precision, recall, F1, images."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    known = np.arange(num_classes)
    parts = precision_recall_fscore_support(labels, guesses, labels=known, zero_division=0)
    return [confusion_matrix(labels, guesses, labels=known), *parts]
