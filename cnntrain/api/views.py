"""What shows a run to the user of the Python API: lines, or a live table in a notebook."""

import sys
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from cnntrain.api.rendering import (
    format_html_lines,
    format_html_table,
    render_table_as_html,
)
from cnntrain.running.progress import RunView, build_result_table
from cnntrain.spec.metrics import choose_headlines, name_metric
from cnntrain.terminal.tables import render_as_text
from cnntrain.terminal.units import NO_VALUE, format_duration

REDRAW_SECONDS = 0.5
EPOCHS_SHOWN = 12  # the last epochs of a long run


class LineView(RunView):
    """Prints a line an epoch, and a table at the end."""

    def show_line(self, line: str) -> None:
        print(line, flush=True)

    def show_epoch(self, row: Mapping[str, float], line: str) -> None:
        print(line, flush=True)

    def show_results(self, report: Mapping[str, Any]) -> None:
        print(render_as_text(build_result_table(report)), flush=True)


class NotebookView(RunView):
    """Redraws a table in the output of a notebook's cell.

    `display` is IPython's, given for the tests.
    """

    def __init__(self, display: Any):
        self.display = display
        self.handle: Any = None
        self.lines: list[str] = []  # before the first epoch
        self.notes: list[str] = []  # after it
        self.rows: list[Mapping[str, float]] = []
        self.last_line = ""  # of the last epoch
        self.report: Mapping[str, Any] | None = None
        self.state, self.step, self.total_steps, self.epochs = "", 0, 0, 0
        self.phase_began: tuple[float, int] | None = None  # the time and number of its first step
        self.drawn_at = 0.0

    def __exit__(self, *error: object) -> None:
        self.state = ""
        if self.handle is not None:
            self.draw(at_once=True)

    def begin_run(self, folder: Path) -> None:
        self.state = f"{folder.name}: TensorFlow and the data are loaded"
        self.draw(at_once=True)

    def begin_phase(self, done: int, total_steps: int, epochs: int) -> None:
        self.step, self.total_steps, self.epochs = done, total_steps, epochs
        self.phase_began, self.state = None, "the first step is compiled"
        self.draw(at_once=True)

    def show_line(self, line: str) -> None:
        (self.notes if self.rows else self.lines).append(line)
        self.draw(at_once=True)

    def show_step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        now, self.step = time.monotonic(), step
        self.phase_began = began, first = self.phase_began or (now, step)
        left = ""
        if step > first:
            seconds = (now - began) / (step - first) * (self.total_steps - step)
            left = f", {format_duration(seconds)} left"
        self.state = (
            f"epoch {epoch}/{self.epochs}, loss {loss:.4f}, {images_per_second:,.0f} images/s{left}"
        )
        self.draw()

    def show_epoch(self, row: Mapping[str, float], line: str) -> None:
        self.rows.append(row)
        self.last_line = line
        self.draw()

    def show_results(self, report: Mapping[str, Any]) -> None:
        self.report = report
        self.draw(at_once=True)

    def draw(self, at_once: bool = False) -> None:
        """Redraw the output, unless it was drawn within half a second."""
        if not at_once and time.monotonic() - self.drawn_at < REDRAW_SECONDS:
            return
        self.drawn_at = time.monotonic()
        bundle = {"text/html": self.render_html(), "text/plain": self.render_text()}
        if self.handle is None:
            self.handle = self.display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)

    def render_html(self) -> str:
        """Return what is shown, as HTML."""
        parts = [format_html_lines(self.lines)]
        if self.rows:
            parts.append(render_epochs(self.rows, self.epochs))
        if self.state:
            bar = f'<progress value="{self.step}" max="{self.total_steps}"></progress> '
            parts.append(f"<div>{bar if self.total_steps else ''}{escape(self.state)}</div>")
        if self.report is not None:
            parts.append(render_table_as_html(build_result_table(self.report)))
        return "".join([*parts, format_html_lines(self.notes)])

    def render_text(self) -> str:
        """Return what is shown, as text."""
        lines = [*self.lines, self.last_line, self.state, *self.notes]
        return "\n".join(filter(None, lines))


def render_epochs(rows: list[Mapping[str, float]], epochs: int) -> str:
    """Return the last epochs as an HTML table."""
    hits, headline = choose_headlines(rows[-1])
    columns = {
        "train.loss": "loss",
        f"train.{hits}": name_metric(hits),
        "valid.loss": "valid loss",
        f"valid.{headline}": f"valid {name_metric(headline)}",
    }
    columns = {key: heading for key, heading in columns.items() if key in rows[-1]}
    table = [["epoch", *columns.values(), "learning rate", "images/s"]]
    for row in rows[-EPOCHS_SHOWN:]:
        numbers = [f"{row[key]:.4f}" if key in row else NO_VALUE for key in columns]
        rate, speed = f"{row['learning_rate']:.2g}", f"{row['images_per_second']:,.0f}"
        table.append([f"{row['epoch']}/{epochs}", *numbers, rate, speed])
    return format_html_table(table)


def choose_view(verbose: bool) -> RunView:
    """Return the view for where this program runs: a live table in a notebook, else lines."""
    if not verbose:
        return RunView()
    display = find_notebook_display()
    return LineView() if display is None else NotebookView(display)


def find_notebook_display() -> Any:
    """Return IPython's `display` in a notebook's kernel; None elsewhere, also in its terminal."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    if running is None or getattr(running, "kernel", None) is None:
        return None
    from IPython.display import display

    return display
