"""Which labels are probably wrong: confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70).

The probabilities must come from networks that have not been trained on the examples (section 2).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelIssues:
    """Examples whose labels are probably wrong, the surest first.

    `examples` (m,) are their indices, `suggested` (m,) the likeliest other labels, and `margins`
    (m,) the probabilities of the given labels less those of the suggested ones. `estimate` is the
    number of wrong labels that the estimated joint distribution of given and true labels implies.
    """

    examples: np.ndarray
    suggested: np.ndarray
    margins: np.ndarray
    estimate: float


def find_label_issues(probabilities: np.ndarray, labels: np.ndarray) -> LabelIssues:
    """Return the issues of labels (n,) int, for probabilities (n, classes).

    How many there are is estimated from the confident joint (equations 1 to 3 of the paper). They
    are those with the lowest normalised margins (section 3.2): as many as estimated, but none whose
    given label is the likeliest.
    """
    thresholds = compute_class_thresholds(probabilities, labels)
    confident = choose_confident_labels(probabilities, thresholds)
    joint = count_confident_joint(confident, labels, probabilities.shape[1])
    estimate = estimate_errors(joint, labels)
    everyone = np.arange(len(labels))
    others = probabilities.copy()
    others[everyone, labels] = -1
    suggested = others.argmax(axis=1)
    margins = probabilities[everyone, labels] - others[everyone, suggested]
    lowest = np.argsort(margins, kind="stable")[: round(estimate)]
    lowest = lowest[margins[lowest] < 0]
    return LabelIssues(lowest, suggested[lowest], margins[lowest], estimate)


def compute_class_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the thresholds (classes,): a class's mean probability where it is the given label.

    Equation 2 of the paper. The threshold of a class without examples is infinite.
    """
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, own, minlength=probabilities.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def choose_confident_labels(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the likeliest label (n,) of those that reach their threshold, or -1 if none does."""
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    return np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)


def count_confident_joint(confident: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return the counts (classes, classes) of examples by given and by confident label."""
    sure = confident >= 0
    joint = np.zeros((count, count), np.int64)
    np.add.at(joint, (labels[sure], confident[sure]), 1)
    return joint


def estimate_errors(joint: np.ndarray, labels: np.ndarray) -> float:
    """Return how many labels (n,) are wrong, by a confident joint (classes, classes).

    Its rows are scaled to the number of examples with each label (equation 3 of the paper).
    """
    counts, rows = np.bincount(labels, minlength=len(joint)), joint.sum(axis=1)
    wrong = 1 - np.diagonal(joint) / np.maximum(rows, 1)
    return float((counts * np.where(rows > 0, wrong, 0)).sum())
