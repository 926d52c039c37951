"""Jobs are handed to the launcher while there are any, and watched until the last has ended."""

import os
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

from cnntrain.files.documents import write_json
from cnntrain.files.writing import open_existing, write_whole
from cnntrain.runs.environment import now
from cnntrain.signals import Signals
from cnntrain.spec.compose import first_line
from cnntrain.sweeps.dashboard import Board
from cnntrain.sweeps.directory import Job, Sweep
from cnntrain.sweeps.job_process import LEAVE, NOW, POLL_SECONDS, task
from cnntrain.sweeps.launchers import launcher, shared_out


class Supply(Protocol):
    """Where jobs come from: a list, or a search."""

    @property
    def total(self) -> int: ...
    @property
    def left(self) -> list[Job]: ...  # begun or not, that are yet to be brought to an end
    def next(self) -> Job | None: ...
    def watch(self) -> None: ...
    def ended(self, job: Job) -> None: ...
    def said(self) -> list[str]: ...


class Grid:
    """The jobs of a sweep that are left, in their order; nothing is learnt from them."""

    def __init__(self, sweep: Sweep):
        self.sweep = sweep
        self.total, self.waiting = len(sweep.jobs), sweep.left()

    @property
    def left(self) -> list[Job]:
        return self.sweep.left()

    def next(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting else None

    def watch(self) -> None: ...

    def ended(self, job: Job) -> None: ...

    def said(self) -> list[str]:
        return []


class Crew:
    """Those who work: on this machine `jobs` at once, each taking the next when it is ready.

    The engine of another launcher has its own: it gets all jobs together, or, where later jobs
    depend on earlier ones, `jobs` at a time.
    """

    def __init__(self, sweep: Sweep, supply: Supply, jobs: int, gpus: str | Sequence[int] | None):
        here = sweep.plan["launcher"]["name"] == "local"
        self.sweep, self.supply = sweep, supply
        self.slots = jobs if here else 1
        self.size = 1 if here else None if isinstance(supply, Grid) else jobs
        self.launch = launcher(sweep.plan["launcher"], shared_out(gpus, jobs), sweep.folder)
        self.busy: dict[Future[None], list[Job]] = {}

    def work(self, signals: Signals, board: Board) -> None:
        """Bring all jobs to an end; after a signal, those at work to a state they go on from."""
        told = False
        os.environ |= safe_path()
        with ThreadPoolExecutor(self.slots) as pool:
            try:
                while True:
                    self.collect()
                    if signals.received and not told:
                        write_whole(self.sweep.stop, LEAVE)
                        told = True
                    self.fill(pool)
                    board.update()
                    if not self.busy:
                        return
                    self.supply.watch()
                    time.sleep(POLL_SECONDS)
            except BaseException:  # a second Ctrl-C, or an engine that broke
                write_whole(self.sweep.stop, NOW)
                raise

    def fill(self, pool: ThreadPoolExecutor) -> None:
        """Hand out jobs while somebody is free and nothing says to stop."""
        while len(self.busy) < self.slots and not self.sweep.stop.exists():
            batch = list(islice(iter(self.supply.next, None), self.size))
            if not batch:
                return
            tasks = [task(self.sweep, job) for job in batch]
            self.busy[pool.submit(self.launch, tasks)] = batch

    def collect(self) -> None:
        """Take back what has ended, with or without a word."""
        for future in [future for future in self.busy if future.done()]:
            for job in self.busy.pop(future):
                error = future.exception()
                if job.status in ("running", "waiting") and (error or not self.sweep.stop.exists()):
                    lost(job, error)
                self.supply.ended(job)
            self.sweep.summarise()


def safe_path() -> dict[str, str]:
    """The environment in which an engine's Python finds no module where the user happens to be."""
    given = os.environ.get("PYTHONPATH")
    absolute = [str(Path(part).absolute()) for part in given.split(os.pathsep)] if given else []
    return {"PYTHONSAFEPATH": "1"} | ({"PYTHONPATH": os.pathsep.join(absolute)} if given else {})


def lost(job: Job, error: BaseException | None) -> None:
    """Record that whoever had a job, a worker of an engine say, died before it could say so."""
    job.folder.mkdir(exist_ok=True)
    reason = "lost by its launcher"
    if error is not None:
        reason += f": {type(error).__name__}: {first_line(error)}"
        with open_existing(job.folder / "console.log", "a", encoding="utf-8") as console:
            traceback.print_exception(error, file=console)
    facts = {"status": "killed", "reason": reason, "ended": now()}
    write_json(job.folder / "job.json", {"overrides": job.overrides} | job.record | facts)
