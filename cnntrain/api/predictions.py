"""What a network says of pictures, one after another and as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from rich.table import Table

from cnntrain.api.rendering import (
    format_html_lines,
    make_table,
    render_table_as_html,
)
from cnntrain.inference.predict_labels import LabelWriter
from cnntrain.inference.predict_photos import Prediction
from cnntrain.inference.predict_report import build_prediction_table, list_set_labels
from cnntrain.runs.calibration import Calibration
from cnntrain.terminal.tables import render_as_text

TOP, ROWS_SHOWN = 3, 20  # classes of a picture, and pictures, that are shown


@dataclass(frozen=True, eq=False)
class Predictions(Sequence[Prediction]):
    """The predictions of N pictures, in their order.

    `thresholds` are the probabilities from which on a class is in a picture, where pictures may
    have several labels, else None. `calibration` is that of the network, or None.
    """

    predictions: Sequence[Prediction]
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.predictions)

    def __getitem__(self, place: Any) -> Any:
        return self.predictions[place]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    @property
    def names(self) -> list[str]:
        """The names of the pictures: their files, or `image 0`."""
        return [prediction.name for prediction in self.predictions]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The probabilities (N, classes) float64, in the order of `class_names`; nan if broken."""
        missing = np.full(len(self.class_names), np.nan)
        rows = [p.probabilities for p in self.predictions]
        return np.array([missing if row is None else row for row in rows], np.float64)

    @property
    def labels(self) -> list[Any]:
        """The likeliest class of each picture; None if it is broken.

        Where pictures may have several labels, a list for each, the likeliest first.
        """
        if self.thresholds is not None:
            writer = LabelWriter(self.class_names, self.thresholds)
            return [
                None
                if (shares := p.probabilities) is None
                else [self.class_names[n] for n in writer.list_found(shares)]
                for p in self.predictions
            ]
        return [
            None if p.probabilities is None else self.class_names[int(p.probabilities.argmax())]
            for p in self.predictions
        ]

    @property
    def sets(self) -> list[list[str] | None] | None:
        """The set of labels of each picture: empty for "none of these", None if it is broken.

        None for all pictures if the network is not calibrated.
        """
        if self.calibration is None:
            return None
        return [
            None if p.probabilities is None else list_set_labels(p, self.class_names)
            for p in self.predictions
        ]

    @property
    def table(self) -> Any:
        """A DataFrame of image, label, error and the probability of each class.

        A class that is called like one of the former has the column `class image`, say. Without
        pandas it is a list of dicts.
        """
        own = ("image", "label", "error")
        columns = [f"class {name}" if name in own else name for name in self.class_names]
        rows = zip(self.predictions, self.labels, self.probabilities.tolist(), strict=True)
        return make_table(
            [
                dict(zip((*own, *columns), (p.name, label, p.broken, *shares), strict=True))
                for p, label, shares in rows
            ]
        )

    def build_table(self) -> Table:
        """Return the table that is shown, of the first pictures."""
        first = self.predictions[:ROWS_SHOWN]
        if self.thresholds is not None:
            return LabelWriter(self.class_names, self.thresholds).build_table(first)[0]
        top = min(TOP, len(self.class_names))
        return build_prediction_table(first, self.class_names, top, self.calibration)[0]

    def list_lines(self) -> list[str]:
        """Return the lines below the table."""
        left = len(self.predictions) - ROWS_SHOWN
        return [*([f"… and {left:,} more"] if left > 0 else []), *self.notes]

    def __repr__(self) -> str:
        table = render_as_text(self.build_table()).strip("\n")
        return "\n".join([table, *self.list_lines()])

    def _repr_html_(self) -> str:
        return render_table_as_html(self.build_table()) + format_html_lines(self.list_lines())
