"""Write predictions as a table for people, or as CSV or JSON lines for programs."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from cnntrain.data.labels import SEPARATOR
from cnntrain.files.writing import escape_formula
from cnntrain.inference.predict_photos import Prediction
from cnntrain.runs.calibration import Calibration
from cnntrain.terminal.tables import make_console

RankedClasses = list[tuple[str, float]]
NONE_OF_THESE = "none of these"


@dataclass
class Counts:
    """How many photos were whole and, of a calibrated network, how many of these were refused."""

    whole: int = 0
    refused: int = 0

    def add(self, prediction: Prediction) -> None:
        """Count a photo."""
        self.whole += prediction.broken is None
        self.refused += prediction.is_refused


def list_set_labels(prediction: Prediction, class_names: Sequence[str]) -> list[str]:
    """Return the names in a photo's set of labels, the likeliest first."""
    assert prediction.probabilities is not None
    assert prediction.labels is not None
    order = np.argsort(-prediction.probabilities, kind="stable")
    return [class_names[n] for n in order if prediction.labels[n]]


def list_decision_facts(
    prediction: Prediction, class_names: Sequence[str], calibration: Calibration
) -> dict[str, Any]:
    """Return what a calibration says of a photo, for JSON."""
    return {
        "set": list_set_labels(prediction, class_names),
        "refused": prediction.is_refused,
        "unfamiliarity": prediction.unfamiliarity,
        "temperature": calibration.temperature,
    }


def explain_refusal(unfamiliarity: float | None) -> str:
    """Return `none of these` with the reason why a photo has no label in its set."""
    is_far = unfamiliarity is not None and unfamiliarity > 1
    return f"{NONE_OF_THESE} ({'unfamiliar' if is_far else 'unsure'})"


def describe_promise(calibration: Calibration, counts: Counts) -> str:
    """Return a line for people: how many photos were refused, and what the sets promise."""
    return (
        f"{counts.refused:,} of {counts.whole:,} are none of these. Calibrated on "
        f"{calibration.images:,} images: of photos like them {100 * calibration.coverage:g} % have "
        "their class in the set, or more; --no-calibration predicts without"
    )


def select_top_classes(
    prediction: Prediction, class_names: Sequence[str], top: int
) -> RankedClasses:
    """Return the `top` likeliest classes with their probabilities; none for a broken photo."""
    if prediction.probabilities is None:
        return []
    order = np.argsort(-prediction.probabilities, kind="stable")[:top]
    return [(class_names[n], float(prediction.probabilities[n])) for n in order]


def print_prediction_table(
    found: Iterable[Prediction],
    class_names: Sequence[str],
    top: int,
    calibration: Calibration | None = None,
) -> Counts:
    """Print a table with a row for each photo; return how many photos there were."""
    table, counts = build_prediction_table(found, class_names, top, calibration)
    make_console().print(table)
    return counts


def build_prediction_table(
    found: Iterable[Prediction],
    class_names: Sequence[str],
    top: int,
    calibration: Calibration | None = None,
) -> tuple[Table, Counts]:
    """Return a table with a row for each photo, and how many photos there are.

    That of a calibrated network has a column for the set of labels.
    """
    table, counts = Table(box=box.SIMPLE_HEAD), Counts()
    table.add_column("image", overflow="fold")
    if calibration is not None:
        table.add_column("set")
    table.add_column("class")
    table.add_column("probability", justify="right")
    if top > 1:
        table.add_column("then")
    for prediction in found:
        counts.add(prediction)
        cells = [escape(prediction.name)]
        if prediction.broken is not None:
            cells += [""] * (calibration is not None)
            table.add_row(*cells, "[red]broken[/red]", "", escape(prediction.broken))
            continue
        if calibration is not None:
            labels = list_set_labels(prediction, class_names)
            refusal = explain_refusal(prediction.unfamiliarity)
            cells.append(escape(", ".join(labels)) or f"[red]{refusal}[/red]")
        (name, share), *others = select_top_classes(prediction, class_names, top)
        then = ", ".join(f"{other} {part:.4f}" for other, part in others)
        table.add_row(*cells, escape(name), f"{share:.4f}", escape(then))
    return table, counts


def write_prediction_csv(
    found: Iterable[Prediction],
    class_names: Sequence[str],
    top: int,
    calibration: Calibration | None = None,
) -> Counts:
    """Write CSV to standard output, a row as soon as its photo is predicted.

    The columns are image, error, class_1, probability_1 and so on, and for a calibrated network
    set, with | between its labels, and refused. Returns how many photos there were.
    """
    numbers = range(1, top + 1)
    columns = [part for n in numbers for part in (f"class_{n}", f"probability_{n}")]
    calibrated = [] if calibration is None else ["set", "refused"]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "error", *columns, *calibrated])
    counts = Counts()
    for prediction in found:
        counts.add(prediction)
        cells = [part for pair in select_top_classes(prediction, class_names, top) for part in pair]
        cells += [""] * (len(columns) - len(cells))
        if calibration is not None and prediction.broken is None:
            labels = SEPARATOR.join(list_set_labels(prediction, class_names))
            cells += [labels, str(prediction.is_refused).lower()]
        row = [prediction.name, prediction.broken or "", *cells]
        row += [""] * (2 + len(columns) + len(calibrated) - len(row))
        writer.writerow(map(escape_formula, row))
        sys.stdout.flush()
    return counts


def write_prediction_json_lines(
    found: Iterable[Prediction],
    class_names: Sequence[str],
    top: int,
    calibration: Calibration | None = None,
) -> Counts:
    """Write JSON lines to standard output: {"image", "classes"}, or {"image", "error"} if broken.

    Those of a calibrated network also have "set", "refused", "unfamiliarity" and "temperature".
    Returns how many photos there were.
    """
    counts = Counts()
    for prediction in found:
        counts.add(prediction)
        pairs = select_top_classes(prediction, class_names, top)
        line: dict[str, Any] = {"image": prediction.name}
        if prediction.broken is None:
            line["classes"] = [{"name": name, "probability": share} for name, share in pairs]
        else:
            line["error"] = prediction.broken
        if calibration is not None and prediction.broken is None:
            line |= list_decision_facts(prediction, class_names, calibration)
        print(json.dumps(line, ensure_ascii=False), flush=True)
    return counts
