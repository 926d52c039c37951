"""Pass the tables of a run on to a tracker, whose failures cannot harm the run.

After each epoch a tracker gets the new rows of history.csv and steps.csv. The tracker
knows the last step that it has, so that a resumed run sends only later rows; TensorBoard,
whose files are written anew, gets all of them again.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnntrain.running.trackers import Tracker
from cnntrain.runs.directory import Run
from cnntrain.runs.tables import read_history, read_steps
from cnntrain.spec.spec import Spec
from cnntrain.training.decisions import Row
from cnntrain.training.loop import Progress

# A tracker keeps these files with the run, and its figures.
TRACKED_FILES = ("spec.yaml", "report.json")


class TrackedProgress:
    """A `Progress` that passes everything on to another one, and the tables to a tracker.

    When the tracker fails, a note says so once, and the run goes on without it.
    """

    def __init__(self, progress: Progress, run: Run, spec: Spec):
        self.progress, self.run, self.spec = progress, run, spec
        self.tracker: Tracker | None = None
        self.has_begun = False

    def note(self, line: str) -> None:
        self.progress.note(line)

    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None:
        self.progress.begin_phase(done, total_steps, steps_per_epoch)

    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None:
        self.progress.step(epoch, step, images_per_second, logs)
        self.begin_tracking()

    def begin_tracking(self) -> None:
        """Open the tracker and send the rows so far, once.

        Before the first step the run may still be refused, and its tables are not yet cut.
        """
        if not self.has_begun:
            self.has_begun = True
            self.call_safely(self.open_tracker)
            self.call_safely(self.send_rows)

    def epoch(self, row: Row) -> None:
        self.progress.epoch(row)
        self.call_safely(self.send_rows)

    def end_tracking(self, status: str, report: Mapping[str, Any] | None = None) -> None:
        """Send the tracker the last rows, the results and files, and how the run ended."""
        if status == "finished":  # a resumed run may have had no step left that opens the tracker
            self.begin_tracking()

        def finish() -> None:
            if self.tracker is not None:
                self.send_rows()
                self.tracker.finish(
                    status, flatten_results(report or {}), list_tracked_files(self.run.folder)
                )

        self.call_safely(finish)

    def open_tracker(self) -> None:
        self.tracker = self.spec.tracking(self.run.folder, self.spec.deciding_values)

    def send_rows(self) -> None:
        """Send the rows that the tracker does not have."""
        if self.tracker is None:
            return
        for step, values in read_metrics_by_step(self.run):
            if step > self.tracker.last:
                self.tracker.log(step, values)
                self.tracker.last = step

    def call_safely(self, call: Callable[[], None]) -> None:
        """Make a call of the tracker; if it fails, say so and drop the tracker."""
        try:
            call()
        except Exception as error:  # any: the servers and packages of others may raise anything
            self.tracker = None
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            self.note(
                f"Warning: tracking={self.spec.tracking.name} failed and is switched off: {reason}"
            )


def read_metrics_by_step(run: Run) -> list[tuple[int, dict[str, float]]]:
    """Return the numbers of both tables of a run by step: `train/loss`, `steps/train.loss`."""
    merged: dict[int, dict[str, float]] = defaultdict(dict)
    for row in read_history(run):
        merged[int(row.pop("step"))] |= {name.replace(".", "/"): float(row[name]) for name in row}
    for row in read_steps(run):
        merged[int(row.pop("step"))] |= {f"steps/{name}": float(row[name]) for name in row}
    return sorted(merged.items())


def flatten_results(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a report by names such as `results/test/best/accuracy`."""
    results = {}
    for part in ("valid", "test", "test_views"):
        for weights, numbers in report.get(part, {}).items():
            for name, value in numbers.items():
                if isinstance(value, int | float) and math.isfinite(value):
                    results[f"results/{part}/{weights}/{name}"] = float(value)
    return results


def list_tracked_files(folder: Path) -> Sequence[Path]:
    """Return the files that a tracker keeps with the run: few and small ones for people."""
    texts = [folder / name for name in TRACKED_FILES]
    return [path for path in (*texts, *sorted(folder.glob("figures/*.png"))) if path.is_file()]
