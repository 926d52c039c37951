"""Show the jobs of a running sweep: a live table, or a line at each change without a terminal."""

import math
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console as RichConsole
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cnntrain.errors import SpecError
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import read_record
from cnntrain.runs.tables import read_history_so_far
from cnntrain.spec.metrics import rank_by
from cnntrain.sweeps.directory import ENDED_STATUSES, Job, Sweep, read_best_value
from cnntrain.terminal.units import format_duration

REDRAW_SECONDS = 0.5
STATE_WIDTH = 26  # reasons are shortened; they are in full at the end of a sweep and in jobs.json
TABLE_FRAME_LINES = 7  # lines of the table that are not jobs


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job as its files tell it.

    `epoch` is text such as "3/10", and `best` the best value of the monitored metric.
    """

    status: str
    reason: str | None
    epoch: str = ""
    best: float | None = None
    seconds_left: float | None = None


class Dashboard:
    """Shows a sweep while it runs. It reads the files of the jobs, wherever they run."""

    def __init__(
        self,
        sweep: Sweep,
        total: int,
        monitor: str,
        terminal: RichConsole,
        unfinished: Sequence[Job] = (),
    ):
        """Show `total` jobs on `terminal`, with the metric `monitor`.

        `unfinished` are the jobs that will run: what their job.json says is of an earlier attempt.
        """
        self.sweep, self.total, self.monitor, self.terminal = sweep, total, monitor, terminal
        self.live = Live(console=terminal, auto_refresh=False, transient=True)
        self.drawn_at = -math.inf
        self.previous_records = {job.number: job.record for job in unfinished}
        self.progress_by_job: dict[int, JobProgress] = {
            job.number: read_job_progress(job, monitor)
            for job in sweep.jobs
            if job.status in ENDED_STATUSES and job.number not in self.previous_records
        }
        self.last_statuses = {n: known.status for n, known in self.progress_by_job.items()}

    def __enter__(self) -> "Dashboard":
        if self.terminal.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.drawn_at = -math.inf
        self.update()
        self.live.stop()

    def update(self) -> None:
        """Read the jobs that have not ended, and redraw the table or print a line for each change.

        Does nothing within half a second of the last update.
        """
        if time.monotonic() - self.drawn_at < REDRAW_SECONDS:
            return
        self.drawn_at = time.monotonic()
        for job in self.sweep.jobs:
            if self.last_statuses.get(job.number) in ENDED_STATUSES:
                continue
            found = read_job_progress(job, self.monitor)
            if self.previous_records.get(job.number) == job.record:
                # It has not begun again: the record tells how its last attempt ended.
                found = replace(found, status="waiting", reason=None)
            self.progress_by_job[job.number] = found
            if not self.terminal.is_terminal and found.status != self.last_statuses.get(
                job.number, "waiting"
            ):
                self.print_change(job, found)
            self.last_statuses[job.number] = found.status
        if self.terminal.is_terminal:
            self.live.update(self.build_table(), refresh=True)

    def print_change(self, job: Job, progress: JobProgress) -> None:
        """Print a line that says that a job has begun, or how it has ended."""
        values = " ".join(
            f"{k}={v}" for k, v in job.format_varied_values(self.sweep.varied_keys).items()
        )
        change = progress.status if progress.status != "running" else "begins"
        if progress.best is not None and progress.status in ENDED_STATUSES:
            change += f", {self.monitor} {progress.best:.4f}"
        if progress.reason:
            change += f": {progress.reason}"
        position = f"[{job.number + 1}/{self.total}]"
        print(" ".join(word for word in (position, values, change) if word), flush=True)

    def build_table(self) -> Table:
        """Return a table with a row for each job that fits the terminal, running ones first."""
        jobs = sorted(self.sweep.jobs, key=lambda job: STATUS_ORDER.get(self.get_status(job), 2))
        room = max(3, self.terminal.height - TABLE_FRAME_LINES)
        counts = Counter(self.get_status(job) for job in self.sweep.jobs)
        counts["waiting"] += self.total - len(self.sweep.jobs)
        shown = Table(box=box.SIMPLE_HEAD, caption_justify="left")
        shown.caption = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        shown.add_column("job", justify="right")
        for key in self.sweep.varied_keys:
            shown.add_column(escape(key.rpartition(".")[2].replace("_", " ")))
        for heading in ("epoch", self.monitor.replace(".", " "), "left"):
            shown.add_column(heading, justify="right", min_width=len("epoch"))
        shown.add_column("state", no_wrap=True)
        for job in jobs[:room]:
            shown.add_row(*self.format_cells(job, self.sweep.varied_keys))
        return shown

    def get_status(self, job: Job) -> str:
        """Return the status of a job at the last update."""
        return (
            self.progress_by_job[job.number].status
            if job.number in self.progress_by_job
            else "waiting"
        )

    def format_cells(self, job: Job, varied: Sequence[str]) -> list[str]:
        found = self.progress_by_job.get(job.number, JobProgress("waiting", None))
        state = f"{found.status}: {found.reason}" if found.reason else found.status
        return [
            str(job.number),
            *(escape(value) for value in job.format_varied_values(varied).values()),
            found.epoch,
            "" if found.best is None else f"{found.best:.4f}",
            "" if found.seconds_left is None else format_duration(found.seconds_left),
            escape(textwrap.shorten(state, STATE_WIDTH, placeholder="…")),
        ]


# Jobs are sorted by these; failures, which have no entry, rank with the finished ones.
STATUS_ORDER = {"running": 0, "waiting": 3, "finished": 2}


def read_job_progress(job: Job, monitor: str) -> JobProgress:
    """Return the progress of a job, read from its files."""
    record, run = job.record, Run(job.folder)
    status, reason = record.get("status", "waiting"), record.get("reason")
    if status == "waiting":
        return JobProgress(status, reason)
    planned, rows = read_planned_steps(run), read_history_so_far(run)
    known = [row for row in rows if math.isfinite(row.get(monitor, math.nan))]
    best = min(known, key=lambda row: rank_by(monitor, row), default={})
    found = read_best_value(job) if status == "finished" else best.get(monitor)
    if planned is None:
        return JobProgress(status, reason, best=found)
    per_epoch, steps = planned["steps_per_epoch"], planned["steps"]
    done = int(rows[-1].get("step", 0)) if rows else 0
    left = None
    if status == "running" and done:
        left = sum(row.get("seconds", 0) for row in rows) / done * (steps - done)
    return JobProgress(
        status, reason, f"{-(-done // per_epoch)}/{-(-steps // per_epoch)}", found, left
    )


def read_planned_steps(run: Run) -> dict[str, int] | None:
    """Return the steps of a run and of an epoch from run.json; None before they are known."""
    try:
        planned = read_record(run).get("planned", {}) if run.record.is_file() else {}
    except SpecError:
        return None
    return planned if {"steps", "steps_per_epoch"} <= planned.keys() else None
