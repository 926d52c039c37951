"""What predictions.csv and predictions.npz hold where an image may have several labels."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.special import expit

from cnntrain.data.labels import format_label
from cnntrain.files.writing import escape_formula


def select_label_predictions(
    log_odds: np.ndarray, labels: np.ndarray, thresholds: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays of predictions.npz: `labels` and `probabilities` (N, classes), thresholds.

    `thresholds` (classes,) are the probabilities from which on a class is found. All are float64:
    in float32 probabilities near 1 would be equal, and the page would show other scores.
    """
    return {
        "labels": labels.astype(np.uint8),
        "probabilities": expit(log_odds),
        "thresholds": thresholds.astype(np.float64),
    }


def rank_label_mistakes(predictions: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the numbers of the images with a wrong class, the most confident mistake first.

    A class that was found wrongly is as sure as its probability, one that was missed as what is
    left to 1.
    """
    probabilities, labels = predictions["probabilities"], predictions["labels"] > 0
    found = probabilities >= predictions["thresholds"]
    confidence = np.where(found, probabilities, 1 - probabilities)
    worst = np.where(found != labels, confidence, -1.0).max(axis=1)
    return np.argsort(-worst, kind="stable")[: int((worst >= 0).sum())]


def format_label_csv(
    parts: Iterable[tuple[str, Sequence[str], np.ndarray, np.ndarray]],
    class_names: Sequence[str],
    thresholds: np.ndarray,
) -> str:
    """Return the text of predictions.csv: the classes and the probability of each, by image.

    Of each split come its name, its files, its labels and its log-odds (N, classes).
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["file", "split", "true classes", "called", *class_names]
    writer.writerow(map(escape_formula, head))
    for split, files, labels, log_odds in parts:
        probabilities = expit(log_odds)
        for file, label, own in zip(files, labels, probabilities, strict=True):
            called = format_label(own >= thresholds, class_names)
            texts = (file, split, format_label(label, class_names), called)
            writer.writerow([*map(escape_formula, texts), *(f"{p:.6f}" for p in own)])
    return out.getvalue()
