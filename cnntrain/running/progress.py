"""Say how a run goes on: a line an epoch, in the run's log and to people, and a table at the end.

Who shows it to people is a `RunView`: here a terminal, with one live line. Without a terminal (a
pipe, CI) there is no live line. Python programs have views of their own, in `api/`.
"""

import contextlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cnntrain.data.views import describe_views
from cnntrain.runs.directory import Run
from cnntrain.runs.results import chose_epoch
from cnntrain.spec.metrics import (
    abbreviate_metric,
    choose_headlines,
    choose_report_headline,
    name_metric,
)
from cnntrain.spec.spec import Spec
from cnntrain.terminal.streams import ignore_closed_output
from cnntrain.terminal.tables import render_as_text

REDRAW_SECONDS = 0.2


class RunView(contextlib.AbstractContextManager[Any]):
    """What shows a run to people: a context, which is left at the end. This one shows nothing."""

    def __exit__(self, *error: object) -> None:
        """Leave the view, however the run has ended."""

    def begin_run(self, folder: Path) -> None:
        """Take the directory of the run: the first call, before TensorFlow is loaded."""

    def begin_phase(self, done: int, total_steps: int, epochs: int) -> None:
        """Begin to show steps, from step `done` on; there are `epochs` in all."""

    def show_line(self, line: str) -> None:
        """Show a note."""

    def show_step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        """Show the present step; it is called at most five times a second."""

    def show_epoch(self, row: Mapping[str, float], line: str) -> None:
        """Show an epoch: its row of history.csv, and the same as a line."""

    def show_results(self, report: Mapping[str, Any]) -> None:
        """Show the report of the run."""


class TerminalView(RunView):
    """Shows a run in a terminal, with one live line."""

    def __init__(self, terminal: RichConsole):
        self.terminal, self.epochs = terminal, 0
        self.live = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=terminal,
            transient=True,
            disable=not terminal.is_terminal,
        )
        self.task: Any = None

    def __enter__(self) -> "TerminalView":
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def begin_phase(self, done: int, total_steps: int, epochs: int) -> None:
        """Show the live line of a phase."""
        self.epochs = epochs
        if self.task is not None:  # the bar of the previous phase
            self.live.remove_task(self.task)
        self.task = self.live.add_task("training", completed=done, total=total_steps, speed="")

    def show_line(self, line: str) -> None:
        with ignore_closed_output():
            self.terminal.print(escape(line), soft_wrap=True, highlight=False)

    def show_step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        self.live.update(
            self.task,
            completed=step,
            description=f"epoch {epoch}/{self.epochs}  loss {loss:.4f}",
            speed=f"{images_per_second:,.0f} images/s",
        )

    def show_epoch(self, row: Mapping[str, float], line: str) -> None:
        self.show_line(line)

    def show_results(self, report: Mapping[str, Any]) -> None:
        with ignore_closed_output():
            self.terminal.print(build_result_table(report))


class RunConsole:
    """Logs the progress of a run, and passes it on to a view; the trainer calls its methods."""

    def __init__(self, run: Run, spec: Spec, view: RunView):
        self.run, self.epochs, self.view = run, spec.epochs, view  # see `begin_phase`
        self.monitor = spec.monitor
        self.drawn_at = 0.0

    def note(self, line: str) -> None:
        """Show a line, and log it."""
        self.run.log_line(line)
        self.view.show_line(line)

    def show_results(self, report: Mapping[str, Any]) -> None:
        """Show the table at the end, and log it."""
        self.run.log_line(render_as_text(build_result_table(report)))
        self.view.show_results(report)

    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None:
        """Begin with the steps of a phase from step `done` on.

        Its number of epochs follows from `total_steps`, which `max_steps` may have reduced.
        """
        self.epochs = math.ceil(total_steps / steps_per_epoch)
        self.view.begin_phase(done, total_steps, self.epochs)

    def step(
        self, epoch: int, step: int, images_per_second: float, logs: Mapping[str, float]
    ) -> None:
        """Show the present step, at most five times a second."""
        if time.perf_counter() - self.drawn_at < REDRAW_SECONDS:
            return
        self.drawn_at = time.perf_counter()
        self.view.show_step(epoch, step, logs["cross_entropy"], images_per_second)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Show an epoch, and log its line."""
        hits, headline = choose_headlines(row)
        shown = f"valid.{headline}"
        valid = (
            f"  valid loss {row['valid.loss']:.4f}  {abbreviate_metric(headline)} {row[shown]:.4f}"
            if "valid.loss" in row
            else ""
        )
        if self.monitor in row and self.monitor not in ("valid.loss", shown):
            name = name_metric(self.monitor.partition(".")[2])
            valid += f"  {name} {row[self.monitor]:.4f}"
        l2 = f"  L2 {row['train.l2_loss']:.4f}" if "train.l2_loss" in row else ""
        line = (
            f"epoch {row['epoch']:>{len(str(self.epochs))}}/{self.epochs}"
            f"  loss {row['train.loss']:.4f}{l2}  {name_metric(hits)} {row[f'train.{hits}']:.4f}"
            f"{valid}"
            f"  learning rate {row['learning_rate']:.2g}  {row['images_per_second']:,.0f} images/s"
        )
        self.run.log_line(line)
        self.view.show_epoch(row, line)


def build_result_table(report: Mapping[str, Any]) -> Table:
    """Return the table at the end: loss and accuracy of each set of weights on valid and test.

    Where images have several labels it is the mean average precision. The last column is that of
    views of the test images, if the run has evaluated some.
    """
    headline = choose_report_headline(report)
    table, parts = Table(box=box.SIMPLE_HEAD), [p for p in ("valid", "test") if report.get(p)]
    table.add_column("weights")
    for part in parts:
        table.add_column(f"{part} loss", justify="right")
        table.add_column(f"{part} {abbreviate_metric(headline)}", justify="right")
    if views := report.get("test_views"):
        table.add_column(describe_views(report["views"]), justify="right")
    for key, name in name_weights(report).items():
        rows = [report[part].get(key, {}) for part in parts]
        numbers = [row.get(k) for row in rows for k in ("loss", headline)]
        if views:
            numbers.append(views.get(key, {}).get(headline))
        # A report that others have written may lack some.
        table.add_row(name, *(f"{n:.4f}" if isinstance(n, int | float) else "" for n in numbers))
    return table


def name_weights(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the weights that a report has test numbers of, key -> what they are in words.

    The best ones are left out if they are the last ones because nothing chose among the epochs.
    """
    best = report.get("best_epoch")
    averaged = ", averaged" * ("ema" in report["test"])
    names = {
        "best": f"best epoch ({best})",
        "final": "last epoch",
        "ema": "EMA, last epoch",
        "refit": f"refit on train + valid ({best} epoch{'s' * (best != 1)}{averaged})",
    }
    if not chose_epoch(report):
        del names["best"]
    return {key: name for key, name in names.items() if key in report["test"]}
