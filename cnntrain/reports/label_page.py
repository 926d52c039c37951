"""Build what the page of a run says of its results where an image may have several labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnntrain.analysis.label_scores import (
    LabelScores,
    compute_average_precisions,
    compute_precision_recall,
    score_labels,
)
from cnntrain.data.labels import format_label
from cnntrain.reports import charts
from cnntrain.training.metrics import format_score

CURVES_SHOWN = 8  # classes with a curve of their own; of more, those with the lowest precision
POINTS_SHOWN = 200  # of a curve
WORST_LABELS = 3  # classes that are named as the worst; at most half of them


@dataclass(frozen=True)
class PrecisionRecall:
    """A curve of precision over recall, and the point (recall, precision) of its threshold."""

    name: str
    recall: list[float]
    precision: list[float]
    average_precision: float
    point: tuple[float, float] | None


def build_label_context(
    predictions: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, Any]:
    """Return the variables of run.html.j2 on the test predictions of the weights that were chosen.

    `predictions` holds the arrays of predictions.npz.
    """
    probabilities = predictions["probabilities"].astype(np.float64)
    scores = score_labels(probabilities, predictions["labels"], predictions["thresholds"])
    curves = make_curves(probabilities, predictions["labels"], scores, names)
    order = np.argsort(scores.average_precision, kind="stable")  # nan is last
    worst = order[: min(WORST_LABELS, len(names) // 2)].tolist()
    return {
        "label_scores": scores,
        "classes": list_label_rows(scores, names),
        "worst": [
            (names[n], float(scores.average_precision[n]))
            for n in worst
            if scores.average_precision[n] < 1
        ],
        "label_curves": curves,
        "precision_recall": charts.plot_precision_recall(curves),
        "are_all_curves_shown": len(curves) - 1 >= int((scores.support > 0).sum()),
    }


def list_label_rows(scores: LabelScores, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each class, in their order, with texts for a table."""
    columns = (
        scores.average_precision, scores.thresholds, scores.precision, scores.recall, scores.f1,
    )  # fmt: skip
    return [
        {
            "name": name,
            "cells": [format_score(float(column[n]), 3) for column in columns],
            "count": int(scores.support[n]),
        }
        for n, name in enumerate(names)
    ]


def make_curves(
    probabilities: np.ndarray, labels: np.ndarray, scores: LabelScores, names: Sequence[str]
) -> list[PrecisionRecall]:
    """Return the curve of all pairs of image and class, then those of classes that have images."""
    pairs = probabilities.reshape(-1), labels.reshape(-1)
    whole = float(compute_average_precisions(*(pair[:, np.newaxis] for pair in pairs))[0])
    curves = [make_curve("all together", *pairs, whole, None)]
    order = np.argsort(scores.average_precision, kind="stable")[:CURVES_SHOWN]
    for n in sorted(order.tolist()):
        if scores.support[n]:
            point = (float(scores.recall[n]), float(scores.precision[n]))
            own = float(scores.average_precision[n])
            is_defined = not np.isnan(point[1])
            curves.append(
                make_curve(
                    names[n], probabilities[:, n], labels[:, n], own, point if is_defined else None
                )
            )
    return curves


def make_curve(
    name: str,
    probabilities: np.ndarray,
    labels: np.ndarray,
    average_precision: float,
    point: tuple[float, float] | None,
) -> PrecisionRecall:
    """Return the curve of probabilities and labels (N,), thinned to POINTS_SHOWN points."""
    precision, recall, _ = compute_precision_recall(probabilities, labels)
    places = np.unique(np.linspace(0, len(recall) - 1, POINTS_SHOWN).astype(int))
    x, y = (np.round(values[places], 4).tolist() for values in (recall, precision))
    return PrecisionRecall(name, x, y, average_precision, point)


def describe_label_prediction(
    predictions: Mapping[str, np.ndarray], row: int, names: Sequence[str]
) -> tuple[str, str, bool, float]:
    """Return the labels of a test image, those found, whether they are the same, a probability.

    It is that of the most confident mistake, or of the least sure class without one.
    """
    label, probabilities = predictions["labels"][row] > 0, predictions["probabilities"][row]
    found = probabilities >= predictions["thresholds"]
    confidence = np.where(found, probabilities, 1 - probabilities)
    wrong = found != label
    sure = confidence[wrong].max() if wrong.any() else confidence.min()
    texts = format_label(label, names), format_label(found, names)
    return *texts, not wrong.any(), float(sure)
