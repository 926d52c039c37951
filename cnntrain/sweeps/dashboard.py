"""How the jobs of a sweep stand: a live table, or, without a terminal, a line at each turn."""

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
from cnntrain.runs.results import history
from cnntrain.runs.strangers import read_record
from cnntrain.spec.metrics import rises
from cnntrain.sweeps.directory import ENDED, Job, Sweep, best

REDRAW_SECONDS = 0.5
STATE_WIDTH = 26  # the reason in full stands at the end, and in jobs.json
CHROME = 7  # lines of the table that are no jobs


@dataclass(frozen=True)
class Look:
    """What the files of a job say: how far it is, how good, and the seconds that are left."""

    status: str
    reason: str | None
    epoch: str = ""
    best: float | None = None
    left: float | None = None


class Board:
    """Shows a sweep while it runs. Nothing is asked of the jobs: their files say it all."""

    def __init__(
        self,
        sweep: Sweep,
        total: int,
        monitor: str,
        terminal: RichConsole,
        again: Sequence[Job] = (),
    ):
        """`again` are jobs that failed or were interrupted, and wait to be gone on with."""
        self.sweep, self.total, self.monitor, self.terminal = sweep, total, monitor, terminal
        self.live = Live(console=terminal, auto_refresh=False, transient=True)
        self.drawn = -math.inf
        self.old = {job.number: job.record for job in again}
        self.looks: dict[int, Look] = {
            job.number: look(job, monitor)
            for job in sweep.jobs
            if job.status in ENDED and job.number not in self.old
        }
        self.before = {job.number: self.looks[job.number].status for job in sweep.jobs
                       if job.number in self.looks}  # fmt: skip

    def __enter__(self) -> "Board":
        if self.terminal.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.drawn = -math.inf
        self.update()
        self.live.stop()

    def update(self) -> None:
        """Look at the jobs that have not ended; draw them, or say what is new."""
        if time.monotonic() - self.drawn < REDRAW_SECONDS:
            return
        self.drawn = time.monotonic()
        for job in self.sweep.jobs:
            if self.before.get(job.number) in ENDED:
                continue
            found = look(job, self.monitor)
            if self.old.get(job.number) == job.record:  # how its last life ended is no news
                found = replace(found, status="waiting", reason=None)
            self.looks[job.number] = found
            if not self.terminal.is_terminal and found.status != self.before.get(
                job.number, "waiting"
            ):
                self.say(job, found)
            self.before[job.number] = found.status
        if self.terminal.is_terminal:
            self.live.update(self.table(), refresh=True)

    def say(self, job: Job, found: Look) -> None:
        """One line: a job began, or ended and how."""
        what = " ".join(f"{k}={v}" for k, v in job.values(self.sweep.varied).items())
        how = found.status if found.status != "running" else "begins"
        if found.best is not None and found.status in ENDED:
            how += f", {self.monitor} {found.best:.4f}"
        if found.reason:
            how += f": {found.reason}"
        where = f"[{job.number + 1}/{self.total}]"
        print(" ".join(word for word in (where, what, how) if word), flush=True)

    def table(self) -> Table:
        """A row a job, as many as the terminal has lines for, those at work first."""
        jobs = sorted(self.sweep.jobs, key=lambda job: ORDER.get(self.status(job), 2))
        room = max(3, self.terminal.height - CHROME)
        counts = Counter(self.status(job) for job in self.sweep.jobs)
        counts["waiting"] += self.total - len(self.sweep.jobs)
        shown = Table(box=box.SIMPLE_HEAD, caption_justify="left")
        shown.caption = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        shown.add_column("job", justify="right")
        for key in self.sweep.varied:
            shown.add_column(escape(key.rpartition(".")[2].replace("_", " ")))
        for heading in ("epoch", self.monitor.replace(".", " "), "left"):
            shown.add_column(heading, justify="right", min_width=len("epoch"))
        shown.add_column("state", no_wrap=True)
        for job in jobs[:room]:
            shown.add_row(*self.cells(job, self.sweep.varied))
        return shown

    def status(self, job: Job) -> str:
        return self.looks[job.number].status if job.number in self.looks else "waiting"

    def cells(self, job: Job, varied: Sequence[str]) -> list[str]:
        found = self.looks.get(job.number, Look("waiting", None))
        state = f"{found.status}: {found.reason}" if found.reason else found.status
        return [
            str(job.number),
            *(escape(value) for value in job.values(varied).values()),
            found.epoch,
            "" if found.best is None else f"{found.best:.4f}",
            "" if found.left is None else clock(found.left),
            escape(textwrap.shorten(state, STATE_WIDTH, placeholder="…")),
        ]


ORDER = {"running": 0, "waiting": 3, "finished": 2}  # failures stand behind those at work


def look(job: Job, monitor: str) -> Look:
    """Read how a job stands."""
    record, run = job.record, Run(job.folder)
    status, reason = record.get("status", "waiting"), record.get("reason")
    if status == "waiting":
        return Look(status, reason)
    planned, rows = planned_steps(run), history(run)
    values = [row[monitor] for row in rows if math.isfinite(row.get(monitor, math.nan))]
    sign = max if rises(monitor) else min
    found = best(job) if status == "finished" else sign(values, default=None)
    if planned is None:
        return Look(status, reason, best=found)
    per_epoch, steps = planned["steps_per_epoch"], planned["steps"]
    done = int(rows[-1].get("step", 0)) if rows else 0
    left = None
    if status == "running" and done:
        left = sum(row.get("seconds", 0) for row in rows) / done * (steps - done)
    return Look(status, reason, f"{-(-done // per_epoch)}/{-(-steps // per_epoch)}", found, left)


def planned_steps(run: Run) -> dict[str, int] | None:
    """The steps of a run and of its epochs, as run.json has them; None before it knows."""
    try:
        planned = read_record(run).get("planned", {}) if run.record.is_file() else {}
    except SpecError:
        return None
    return planned if {"steps", "steps_per_epoch"} <= planned.keys() else None


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
