"""Write predictions as a table for people, or as CSV or JSON lines for programs."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from cnntrain.files.writing import escape_formula
from cnntrain.inference.predict_photos import Prediction
from cnntrain.terminal.tables import make_console

RankedClasses = list[tuple[str, float]]


def select_top_classes(
    prediction: Prediction, class_names: Sequence[str], top: int
) -> RankedClasses:
    """Return the `top` likeliest classes with their probabilities; none for a broken photo."""
    if prediction.probabilities is None:
        return []
    order = np.argsort(-prediction.probabilities, kind="stable")[:top]
    return [(class_names[n], float(prediction.probabilities[n])) for n in order]


def print_prediction_table(
    found: Iterable[Prediction], class_names: Sequence[str], top: int
) -> int:
    """Print a table with a row for each photo; return how many photos were not broken."""
    table, whole = Table(box=box.SIMPLE_HEAD), 0
    table.add_column("image", overflow="fold")
    table.add_column("class")
    table.add_column("probability", justify="right")
    if top > 1:
        table.add_column("then")
    for prediction in found:
        if prediction.broken is not None:
            table.add_row(escape(prediction.name), "[red]broken[/red]", "", prediction.broken)
            continue
        whole += 1
        (name, share), *others = select_top_classes(prediction, class_names, top)
        then = ", ".join(f"{other} {part:.4f}" for other, part in others)
        table.add_row(escape(prediction.name), escape(name), f"{share:.4f}", escape(then))
    make_console().print(table)
    return whole


def write_prediction_csv(found: Iterable[Prediction], class_names: Sequence[str], top: int) -> int:
    """Write CSV to standard output, a row as soon as its photo is predicted.

    The columns are image, error, class_1, probability_1 and so on. Returns how many photos were not
    broken.
    """
    numbers = range(1, top + 1)
    columns = [part for n in numbers for part in (f"class_{n}", f"probability_{n}")]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "error", *columns])
    whole = 0
    for prediction in found:
        whole += prediction.broken is None
        cells = [part for pair in select_top_classes(prediction, class_names, top) for part in pair]
        cells += [""] * (len(columns) - len(cells))
        row = [prediction.name, prediction.broken or "", *cells]
        writer.writerow(map(escape_formula, row))
        sys.stdout.flush()
    return whole


def write_prediction_json_lines(
    found: Iterable[Prediction], class_names: Sequence[str], top: int
) -> int:
    """Write JSON lines to standard output: {"image", "classes"}, or {"image", "error"} if broken.

    Returns how many photos were not broken.
    """
    whole = 0
    for prediction in found:
        whole += prediction.broken is None
        pairs = select_top_classes(prediction, class_names, top)
        line: dict[str, Any] = {"image": prediction.name}
        if prediction.broken is None:
            line["classes"] = [{"name": name, "probability": share} for name, share in pairs]
        else:
            line["error"] = prediction.broken
        print(json.dumps(line, ensure_ascii=False), flush=True)
    return whole
