"""What a run of `cnntrain fit` ends with: how good the classifier is, and the next commands."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnntrain.analysis.label_scores import score_labels
from cnntrain.analysis.significance import compute_wilson_interval
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import read_predictions, read_record
from cnntrain.training.metrics import list_confused_pairs, score_saved_predictions

WORST_CLASSES = 3
WIDE_INTERVAL = 0.1  # of an accuracy that few test photos have measured


@dataclass(frozen=True)
class ClassResult:
    """How many test photos of a class were recognised, and what most others were taken for.

    Of two classes that goes without saying: `taken_for` is None.
    """

    name: str
    images: int
    recognised: int
    taken_for: str | None


@dataclass(frozen=True)
class FitResult:
    """The accuracy on the test photos with Wilson's 95 % interval, and the worst classes.

    `commonest` is the accuracy of always answering the commonest class of them.
    """

    accuracy: float
    interval: tuple[float, float]
    images: int
    worst: Sequence[ClassResult]
    commonest: float


@dataclass(frozen=True)
class LabelFitResult:
    """How well several labels an image are found on the test photos, at the thresholds of a run.

    `exact_match` is the share of photos with all labels right, `interval` Wilson's 95 % of it, and
    `worst` the classes with the lowest average precision.
    """

    mean_average_precision: float
    exact_match: float
    interval: tuple[float, float]
    images: int
    worst: Sequence[tuple[str, float]]


def read_fit_result(folder: Path) -> FitResult | LabelFitResult | None:
    """Return how good the network of a finished run is; None if its predictions are missing."""
    names = read_record(Run(folder)).get("class_names", [])
    predictions, _ = read_predictions(folder, len(names))
    if not predictions:
        return None
    if predictions["labels"].ndim == 2:
        return score_label_predictions(predictions, names)
    confusion = score_saved_predictions(predictions, len(names)).confusion
    right, total = int(confusion.trace()), int(confusion.sum())
    taken = {
        true: called
        for true, called, _ in reversed(list_confused_pairs(confusion, names, confusion.size))
    }
    classes = [
        ClassResult(name, int(row.sum()), int(row[n]), taken.get(name) if len(names) > 2 else None)
        for n, (name, row) in enumerate(zip(names, confusion, strict=True))
        if row.sum() > row[n]
    ]
    worst = sorted(classes, key=lambda found: found.recognised / found.images)[:WORST_CLASSES]
    commonest = float(confusion.sum(axis=1).max()) / total
    interval = compute_wilson_interval(right, total)
    return FitResult(right / total, interval, total, worst, commonest)


def score_label_predictions(
    predictions: Mapping[str, np.ndarray], names: Sequence[str]
) -> LabelFitResult:
    """Return how well several labels an image are found; `predictions` are of predictions.npz."""
    probabilities = predictions["probabilities"].astype(np.float64)
    scores = score_labels(probabilities, predictions["labels"], predictions["thresholds"])
    total = len(predictions["labels"])
    interval = compute_wilson_interval(round(scores.exact_match * total), total)
    order = np.argsort(scores.average_precision, kind="stable")  # nan is last
    own = [(names[n], float(scores.average_precision[n])) for n in order]
    worst = [(name, precision) for name, precision in own if precision < 1][:WORST_CLASSES]
    return LabelFitResult(scores.mean_average_precision, scores.exact_match, interval, total, worst)


def describe_fit_result(result: FitResult | LabelFitResult) -> list[str]:
    """Return lines on how good the network is, with its interval, and the worst classes."""
    if isinstance(result, LabelFitResult):
        return ["", *describe_label_result(result)]
    return ["", *describe_accuracy(result)]


def suggest_next_commands(folder: Path) -> list[str]:
    """Return lines with what to do next with the run in a folder."""
    run = str(folder)
    return [
        "",
        "Next:",
        f"  {shlex.join(['cnntrain', 'predict', run])} PHOTO_OR_FOLDER",
        f"  {shlex.join(['cnntrain', 'report', run])}   # every class and mistake: report.html",
        f"  {shlex.join(['cnntrain', 'export', run, '--format', 'onnx'])}",
    ]


def describe_label_result(result: LabelFitResult) -> list[str]:
    """Return lines on the exact match with its interval, and the worst classes."""
    low, high = result.interval
    right = round(result.exact_match * result.images)
    lines = [
        f"{right:,} of {result.images:,} test photos have all labels right: exact match "
        f"{result.exact_match:.4f} (95 % interval {low:.4f} to {high:.4f}, Wilson); mean average "
        f"precision {result.mean_average_precision:.4f}",
    ]
    if result.worst:
        worst = "; ".join(f"{name} (average precision {own:.4f})" for name, own in result.worst)
        lines.append(f"worst classes: {worst}")
    return lines


def describe_accuracy(result: FitResult) -> list[str]:
    """Return lines on the accuracy with its interval, and the worst classes."""
    low, high = result.interval
    right = round(result.accuracy * result.images)
    lines = [
        f"{right:,} of {result.images:,} test photos are recognised: accuracy "
        f"{result.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, Wilson)",
    ]
    if high - low > WIDE_INTERVAL:
        lines.append(f"each test photo is {100 / result.images:.3g} % of it")
    if low <= result.commonest:
        lines.append(
            "that may be no better than always answering the commonest class: more photos help, or "
            "ImageNet weights (weights_dir=FOLDER)"
        )
    if result.worst:
        lines.append("worst classes: " + "; ".join(map(describe_class, result.worst)))
    return lines


def describe_class(found: ClassResult) -> str:
    taken = f", most others taken for {found.taken_for}" if found.taken_for else ""
    return f"{found.name} ({found.recognised} of {found.images} recognised{taken})"
