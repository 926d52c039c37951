"""Score predictions where an image may have several labels, as scikit-learn does.

Probabilities and labels are (N, classes); labels are 0 and 1. A class is found in an image if its
probability reaches the class's threshold. What is not defined is nan: average precision, recall and
F1 of a class without images, and precision of a class that was never found.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from cnntrain.spec.metrics import HALF

THRESHOLD_METRICS = ("exact_match", "micro_f1", "macro_f1")
LABEL_METRICS = ("loss", "mean_average_precision", *THRESHOLD_METRICS)


@dataclass(frozen=True)
class LabelScores:
    """The scores of each class (classes,) at thresholds, and of all classes together."""

    thresholds: np.ndarray
    average_precision: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray  # images of each class
    exact_match: float  # the share of images of which all classes are right
    micro_f1: float  # F1 over all pairs of an image and a class

    @property
    def mean_average_precision(self) -> float:
        """The mean average precision of the classes that have images."""
        return compute_defined_mean(self.average_precision)

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have images."""
        return compute_defined_mean(self.f1)

    def at_thresholds(self) -> dict[str, float]:
        """Return the THRESHOLD_METRICS."""
        return {name: getattr(self, name) for name in THRESHOLD_METRICS}


def score_labels(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray
) -> LabelScores:
    """Return the scores of predictions at the thresholds (classes,)."""
    found, present = probabilities >= thresholds, labels.astype(bool)
    hits = (found & present).sum(axis=0)
    support, called = present.sum(axis=0), found.sum(axis=0)
    f1 = np.where(support > 0, divide_or_nan(2 * hits, support + called), np.nan)
    pairs = int(support.sum() + called.sum())
    return LabelScores(
        thresholds=thresholds,
        average_precision=compute_average_precisions(probabilities, labels),
        precision=divide_or_nan(hits, called),
        recall=divide_or_nan(hits, support),
        f1=f1,
        support=support,
        exact_match=float((found == present).all(axis=1).mean()),
        micro_f1=float(2 * hits.sum() / pairs) if pairs else math.nan,
    )


def compute_label_metrics(log_odds: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the LABEL_METRICS of log-odds (N, classes) for labels, with thresholds of a half.

    `loss` is the binary cross-entropy in nats, a mean over images and classes.
    """
    signed = np.ascontiguousarray(np.where(labels > 0, -log_odds, log_odds))  # summed in one order
    loss = np.logaddexp(0, signed).mean()
    scores = score_labels(expit(log_odds), labels, np.full(labels.shape[1], HALF))
    return {
        "loss": float(loss),
        "mean_average_precision": scores.mean_average_precision,
        **scores.at_thresholds(),
    }


def compute_precision_recall(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and threshold (n,) for each probability of a class (N,), falling.

    The class is found from a threshold on. Images with equal probabilities share one.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(labels[order], dtype=np.int64)
    ends = np.flatnonzero(np.diff(ranked, append=-np.inf))  # the last of equal probabilities
    return hits[ends] / (ends + 1), hits[ends] / max(1, hits[-1]), ranked[ends]


def compute_average_precisions(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the average precision (classes,): precision, weighed by each step of recall.

    It is that of scikit-learn, which interpolates nothing.
    """
    values = np.full(labels.shape[1], np.nan)
    for n in np.flatnonzero(labels.any(axis=0)):
        precision, recall, _ = compute_precision_recall(probabilities[:, n], labels[:, n])
        values[n] = (np.diff(recall, prepend=0.0) * precision).sum()
    return values


def choose_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each class (classes,) the threshold with the highest F1; a half without images.

    It lies half-way between the last probability that is found and the next one. Of equal F1 the
    highest threshold is taken.
    """
    thresholds = np.full(labels.shape[1], HALF)
    for n in np.flatnonzero(labels.any(axis=0)):
        precision, recall, cuts = compute_precision_recall(probabilities[:, n], labels[:, n])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        best = int(f1.argmax())
        below = cuts[best + 1] if best + 1 < len(cuts) else 0.0
        thresholds[n] = (cuts[best] + below) / 2
    return thresholds


def compute_defined_mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not nan; nan if there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def divide_or_nan(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Return parts / wholes, nan where a whole is 0."""
    undefined = np.full(wholes.shape, np.nan)
    return np.divide(parts, wholes, out=undefined, where=wholes > 0)
