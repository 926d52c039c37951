"""What a run of `cnntrain fit` ends with: how good the classifier is, and the next commands."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnntrain.analysis.significance import compute_wilson_interval
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import read_predictions, read_record
from cnntrain.training.metrics import list_confused_pairs, score_saved_predictions

WORST_CLASSES = 3
WIDE_INTERVAL = 0.1  # of an accuracy that few test photos have measured


@dataclass(frozen=True)
class ClassResult:
    """How many test photos of a class were recognised, and what most others were taken for."""

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


def read_fit_result(folder: Path) -> FitResult | None:
    """Return how good the network of a finished run is; None if its predictions are missing."""
    names = read_record(Run(folder)).get("class_names", [])
    predictions, _ = read_predictions(folder, len(names))
    if not predictions or predictions["labels"].ndim != 1:  # of several labels an image
        return None
    confusion = score_saved_predictions(predictions, len(names)).confusion
    right, total = int(confusion.trace()), int(confusion.sum())
    taken = {
        true: called
        for true, called, _ in reversed(list_confused_pairs(confusion, names, confusion.size))
    }
    classes = [
        ClassResult(name, int(row.sum()), int(row[n]), taken.get(name))
        for n, (name, row) in enumerate(zip(names, confusion, strict=True))
        if row.sum() > row[n]
    ]
    worst = sorted(classes, key=lambda found: found.recognised / found.images)[:WORST_CLASSES]
    commonest = float(confusion.sum(axis=1).max()) / total
    interval = compute_wilson_interval(right, total)
    return FitResult(right / total, interval, total, worst, commonest)


def describe_fit_result(result: FitResult) -> list[str]:
    """Return lines on the accuracy with its interval, and the worst classes."""
    low, high = result.interval
    right = round(result.accuracy * result.images)
    lines = [
        "",
        f"{right:,} of {result.images:,} test photos are recognised: accuracy "
        f"{result.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, Wilson)",
    ]
    if high - low > WIDE_INTERVAL:
        lines.append(f"each test photo is {100 / result.images:.2g} % of it")
    if low <= result.commonest:
        lines.append(
            "that may be no better than always answering the commonest class: more photos help, or "
            "ImageNet weights (weights_dir=FOLDER)"
        )
    if result.worst:
        lines.append("worst classes: " + "; ".join(map(describe_class, result.worst)))
    return lines


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


def describe_class(found: ClassResult) -> str:
    taken = f", most others taken for {found.taken_for}" if found.taken_for else ""
    return f"{found.name} ({found.recognised} of {found.images} recognised{taken})"
