"""Print the result of `cnntrain evaluate` as a few lines, and tables of at most 100 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from cnntrain.data.views import describe_views
from cnntrain.runs.calibration import describe_risen_loss
from cnntrain.terminal.tables import make_console
from cnntrain.terminal.units import NO_VALUE, format_percent
from cnntrain.training.metrics import list_confused_pairs

LARGEST_CONFUSION_MATRIX = 12  # classes whose confusion matrix fits the width
CLASSES_SHOWN = 20  # classes of which all are listed; of more, those that are recognised worst
PAIRS_SHOWN = 10


def print_evaluation(found: Mapping[str, Any]) -> None:
    """Print a summary and tables of `found`, the result of `evaluate_runs`."""
    console = make_console()
    has_several_labels = "at_thresholds" in found
    for line in format_summary(found):
        console.print(escape(line), soft_wrap=True, highlight=False)
    if (count := len(found["classes"])) > CLASSES_SHOWN:
        line = f"\nthe {CLASSES_SHOWN} of {count:,} classes with the lowest F1; --json has all"
        console.print(line, soft_wrap=True, highlight=False)
    console.print(build_class_table(found["classes"]))
    if not has_several_labels:
        console.print(build_confusion_table(found))
    if "fgsm" in found:
        console.print(build_fgsm_table(found["fgsm"]))


def format_summary(found: Mapping[str, Any]) -> list[str]:
    """Return the lines with the metrics over all images."""
    runs = ", ".join(
        f"{run} ({weights})" for run, weights in zip(found["runs"], found["weights"], strict=True)
    )
    together = " together" if len(found["runs"]) > 1 else ""
    flips = ", each with its mirror image" if found["flips"] else ""
    views = "" if found["views"] == "none" else f", {describe_views(found['views'])}"
    return [
        f"{runs}{together} on {found['images']:,} images, "
        f"{found['dataset']} {found['split']}{flips}{views}",
        *(note if note.startswith("Warning: ") else f"Note: {note}" for note in found["notes"]),
        "",
        *(format_label_metrics(found) if "at_thresholds" in found else format_metrics(found)),
    ]


def format_metrics(found: Mapping[str, Any]) -> list[str]:
    """Return the lines with the metrics of one label an image."""
    low, high = found["interval"]
    top5 = "" if found["top5"] is None else f"top-5 {found['top5']:.4f}  "
    return [
        f"accuracy {found['accuracy']:.4f}  (95 % interval {low:.4f} to {high:.4f}, Wilson)",
        f"{top5}loss {found['loss']:.4f}  balanced accuracy {found['balanced_accuracy']:.4f}  "
        f"macro F1 {found['macro_f1']:.4f}  calibration error {found['ece']:.4f}",
    ]


def format_label_metrics(found: Mapping[str, Any]) -> list[str]:
    """Return the lines with the metrics of several labels an image."""
    tuned = found["at_thresholds"]
    low, high = tuned["interval"]
    return [
        f"mean average precision {found['mean_average_precision']:.4f}  loss {found['loss']:.4f}",
        f"at the thresholds: exact match {tuned['exact_match']:.4f}  (95 % interval {low:.4f} to "
        f"{high:.4f}, Wilson)",
        f"    micro F1 {tuned['micro_f1']:.4f}  macro F1 {tuned['macro_f1']:.4f}",
        f"at 0.5: exact match {found['exact_match']:.4f}  micro F1 {found['micro_f1']:.4f}  "
        f"macro F1 {found['macro_f1']:.4f}",
    ]


def build_class_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of precision, recall and F1 of every class, or of those with the lowest F1.

    Of several labels an image it has their average precision and threshold, too.
    """
    columns = {"precision": "precision", "recall": "recall", "f1": "F1"}
    if "threshold" in rows[0]:
        columns = {"average_precision": "AP", "threshold": "threshold", **columns}
    if len(rows) > CLASSES_SHOWN:
        rows = sorted(rows, key=lambda row: (row["f1"] is None, row["f1"]))[:CLASSES_SHOWN]
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("class", *columns.values(), "images"):
        name = heading == "class"
        table.add_column(heading, justify="left" if name else "right", no_wrap=not name)
    for row in rows:
        numbers = (row[key] for key in columns)
        figures = (NO_VALUE if number is None else f"{number:.4f}" for number in numbers)
        table.add_row(escape(row["name"]), *figures, f"{row['images']:,}")
    return table


def build_confusion_table(found: Mapping[str, Any]) -> Table:
    """Return the confusion matrix, or, of many classes, the pairs that are confused most often."""
    names = [row["name"] for row in found["classes"]]
    counts = np.array(found["confusion"])
    if len(names) <= LARGEST_CONFUSION_MATRIX:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
        table.add_column("is \\ called")
        for name in shorten_names(names):
            table.add_column(escape(name), justify="right")
        for name, row in zip(names, counts, strict=True):
            table.add_row(escape(name), *(str(count) if count else "·" for count in row))
        return table
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("is", "called", "images"):
        table.add_column(heading, justify="right" if heading == "images" else "left")
    for label, guess, count in list_confused_pairs(counts, names, PAIRS_SHOWN):
        table.add_row(escape(label), escape(guess), str(count))
    return table


def shorten_names(names: Sequence[str]) -> list[str]:
    """Return `names`, shortened to fit beside each other.

    Names lose their end, or their middle if some of them begin alike.
    """
    width = max(6, 72 // len(names) - 1)
    if len({name[:width] for name in names}) == len(names):
        return [name[:width] for name in names]
    return [f"{n[:2]}…{n[3 - width :]}" if len(n) > width else n for n in names]


def build_fgsm_table(rows: Sequence[Mapping[str, float]]) -> Table:
    """Return a table of the accuracy under FGSM, by the epsilon that each pixel is moved."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("fast gradient sign, epsilon")
    for row in rows:
        table.add_column(f"{row['epsilon']:g}/255", justify="right")
    table.add_row("accuracy", *(f"{row['accuracy']:.4f}" for row in rows))
    return table


def print_calibration(found: Mapping[str, Any]) -> None:
    """Print `found`, the result of `calibrate_run`: what was fitted, and what it gives on test."""
    console = make_console()
    for line in format_calibration(found):
        console.print(escape(line), soft_wrap=True, highlight=False)
    for table in (build_temperature_table(found["test"]), build_coverage_table(found)):
        console.print(table)
    lines = (
        describe_worst_coverage(found["test"]),
        describe_risen_loss(found["images"], found["test"]),
    )
    for line in filter(None, lines):
        console.print(escape(line), soft_wrap=True, highlight=False)


def format_calibration(found: Mapping[str, Any]) -> list[str]:
    """Return the lines that say what was fitted to what, and what is promised."""
    low, high = found["interval"]
    return [
        f"{found['run']} ({found['weights']}), calibrated on {found['images']:,} validation images",
        f"temperature {found['temperature']:.3f}; a label is in the set of an image from a "
        f"probability of {found['threshold']:.4f} on",
        "",
        f"Promised: of images like these, {format_percent(found['coverage'])} have their class in "
        "the set, or more.",
        f"That is the mean over all validation splits. For one of {found['images']:,} images the "
        f"share is between {format_percent(low)} and {format_percent(high)} in 95 % of cases.",
    ]


def build_temperature_table(test: Mapping[str, Any]) -> Table:
    """Return a table of loss and calibration error of the test images, without and with it."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(f"{test['images']:,} test images")
    for heading in ("as trained", "calibrated"):
        table.add_column(heading, justify="right")
    for name, key in (("loss", "loss"), ("calibration error", "ece")):
        table.add_row(name, *(f"{test[f'{key}_{when}']:.4f}" for when in ("before", "after")))
    return table


def build_coverage_table(found: Mapping[str, Any]) -> Table:
    """Return a table of what the sets of labels of the test images are worth."""
    test = found["test"]
    low, high = test["coverage_interval"]
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    accuracy = NO_VALUE if test["accuracy"] is None else format_percent(test["accuracy"])
    rows = (
        ("coverage", test["coverage"], f"95 % interval {low:.4f} to {high:.4f}, Wilson"),
        ("one label: an answer", test["answered"], f"right: {accuracy} of the answers"),
        ("several labels", test["several"], f"{test['mean_set_size']:.3f} labels in the mean set"),
        ("none of these", test["refused"], f"unfamiliar: {format_percent(test['unfamiliar'])}"),
    )
    for name, share, note in rows:
        table.add_row(name, format_percent(share), note)
    return table


def describe_worst_coverage(test: Mapping[str, Any]) -> str:
    """Return a sentence about the class of which fewest images have their label in the set."""
    rows = [row for row in test["classes"] if row["images"]]
    worst = min(rows, key=lambda row: row["coverage"])
    return (
        f"The promise is for all classes together. Least covered is {worst['name']}: "
        f"{format_percent(worst['coverage'])} of {worst['images']:,} images."
    )
