"""Write predictions where a photo may have several labels, as a table, CSV or JSON lines."""

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

from cnntrain.data.labels import NO_LABEL, SEPARATOR
from cnntrain.files.writing import escape_formula
from cnntrain.inference.predict_photos import Prediction
from cnntrain.inference.predict_report import Counts
from cnntrain.terminal.tables import make_console


@dataclass(frozen=True)
class LabelWriter:
    """Writes the labels of photos: the classes whose probability reaches their threshold.

    Each method that writes returns how many photos there were.
    """

    class_names: Sequence[str]
    thresholds: Sequence[float]

    def list_found(self, probabilities: np.ndarray) -> list[int]:
        """Return the numbers of the classes that are found, the likeliest first."""
        order = np.argsort(-probabilities, kind="stable").tolist()
        return [n for n in order if probabilities[n] >= self.thresholds[n]]

    def print_table(self, found: Iterable[Prediction]) -> Counts:
        """Print a table with a row for each photo."""
        table, counts = self.build_table(found)
        make_console().print(table)
        return counts

    def build_table(self, found: Iterable[Prediction]) -> tuple[Table, Counts]:
        """Return a table with a row for each photo, and how many photos there are.

        A row has the labels of a photo, and the likeliest of the others.
        """
        table, counts = Table(box=box.SIMPLE_HEAD), Counts()
        table.add_column("image", overflow="fold")
        table.add_column("labels")
        table.add_column("below its threshold")
        for prediction in found:
            counts.add(prediction)
            if (shares := prediction.probabilities) is None:
                broken = escape(prediction.broken or "")
                table.add_row(escape(prediction.name), "[red]broken[/red]", broken)
                continue
            own = self.list_found(shares)
            texts = [f"{self.class_names[n]} {shares[n]:.4f}" for n in own]
            others = [n for n in np.argsort(-shares, kind="stable").tolist() if n not in own]
            then = f"{self.class_names[others[0]]} {shares[others[0]]:.4f}" if others else ""
            labels = ", ".join(texts) or NO_LABEL
            table.add_row(escape(prediction.name), escape(labels), escape(then))
        return table, counts

    def write_csv(self, found: Iterable[Prediction]) -> Counts:
        """Write CSV to standard output, a row as soon as its photo is predicted.

        The columns are image, error, labels, and the probability of each class.
        """
        writer, counts = csv.writer(sys.stdout, lineterminator="\n"), Counts()
        writer.writerow(map(escape_formula, ["image", "error", "labels", *self.class_names]))
        for prediction in found:
            counts.add(prediction)
            cells: list[Any] = [""] * (1 + len(self.class_names))
            if (shares := prediction.probabilities) is not None:
                names = [self.class_names[n] for n in self.list_found(shares)]
                cells = [SEPARATOR.join(names), *shares.tolist()]
            row = [prediction.name, prediction.broken or "", *cells]
            writer.writerow(map(escape_formula, row))
            sys.stdout.flush()
        return counts

    def write_json_lines(self, found: Iterable[Prediction]) -> Counts:
        """Write JSON lines: {"image", "labels", "probabilities"}, or {"image", "error"}."""
        counts = Counts()
        for prediction in found:
            counts.add(prediction)
            line: dict[str, Any] = {"image": prediction.name}
            if (shares := prediction.probabilities) is None:
                line["error"] = prediction.broken
            else:
                line["labels"] = [
                    {
                        "name": self.class_names[n],
                        "probability": float(shares[n]),
                        "threshold": self.thresholds[n],
                    }
                    for n in self.list_found(shares)
                ]
                line["probabilities"] = dict(zip(self.class_names, shares.tolist(), strict=True))
            print(json.dumps(line, ensure_ascii=False), flush=True)
        return counts
