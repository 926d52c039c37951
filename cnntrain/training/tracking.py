"""A run that is tracked: its tables are handed on to a tracker, which can do it no harm.

A tracker is told what history.csv and steps.csv hold, after each epoch, and not what happens: so a
resumed run, whose tables are cut to its state, tells nothing twice.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnntrain.runs.directory import Run
from cnntrain.spec.spec import Spec
from cnntrain.training.loop import Progress, Row
from cnntrain.training.trackers import Tracker

# The tables, and what stands before the names of their columns.
TABLES = {"history.csv": "", "steps.csv": "steps/"}
KEPT = ("spec.yaml", "report.json")  # and the figures: files that a tracker keeps with the run


class Tracked:
    """A `Progress` that tells another one everything, and a tracker the tables.

    Whatever goes wrong in the tracker is said once, and the run goes on without it.
    """

    def __init__(self, progress: Progress, run: Run, spec: Spec):
        self.progress, self.run, self.spec = progress, run, spec
        self.tracker: Tracker | None = None
        self.opened = False

    def note(self, line: str) -> None:
        self.progress.note(line)

    def began(self, done: int, total_steps: int, steps_per_epoch: int) -> None:
        self.progress.began(done, total_steps, steps_per_epoch)

    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None:
        self.progress.step(epoch, step, images_per_second, logs)
        self.begin()

    def begin(self) -> None:
        """Open the tracker once: nothing is refused any more, and the tables are cut."""
        if not self.opened:
            self.opened = True
            self.harmless(self.open)
            self.harmless(self.send)

    def epoch(self, row: Row) -> None:
        self.progress.epoch(row)
        self.harmless(self.send)

    def ended(self, status: str, report: Mapping[str, Any] | None = None) -> None:
        """Tell how the run ended; a resumed one may have had no step left to make."""
        if status == "finished":
            self.begin()

        def tell() -> None:
            if self.tracker is not None:
                self.send()
                self.tracker.finish(status, results(report or {}), files(self.run.folder))

        self.harmless(tell)

    def open(self) -> None:
        self.tracker = self.spec.tracking(self.run.folder, self.spec.decides)

    def send(self) -> None:
        """Hand on the rows that the tracker does not have."""
        if self.tracker is None:
            return
        for step, values in rows(self.run.folder):
            if step > self.tracker.last:
                self.tracker.log(step, values)
                self.tracker.last = step

    def harmless(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # any: servers and packages that are not ours
            self.tracker = None
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            self.note(
                f"Warning: tracking={self.spec.tracking.name} failed and is left off: {reason}"
            )


def rows(folder: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The numbers of both tables of a run, by steps: `train/loss`, `steps/train.loss`."""
    merged: dict[int, dict[str, float]] = {}
    for table, before in TABLES.items():
        path = folder / table
        if not path.exists():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                numbers = merged.setdefault(int(row.pop("step")), {})
                for name, text in row.items():
                    tag = before + name if before else name.replace(".", "/")
                    numbers[tag] = float(text)
    yield from sorted(merged.items())


def results(report: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report: `results/test/best/accuracy`."""
    found = {}
    for part in ("valid", "test"):
        for weights, numbers in report.get(part, {}).items():
            for name, value in numbers.items():
                if isinstance(value, int | float) and math.isfinite(value):
                    found[f"results/{part}/{weights}/{name}"] = float(value)
    return found


def files(folder: Path) -> Sequence[Path]:
    """The files that a tracker keeps with the run: a few, small, and what people look at."""
    named = [folder / name for name in KEPT]
    return [path for path in (*named, *sorted(folder.glob("figures/*.png"))) if path.is_file()]
