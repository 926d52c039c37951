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
from cnntrain.runs.environment import format_time_now
from cnntrain.signals import Signals
from cnntrain.spec.compose import shorten_error
from cnntrain.sweeps.dashboard import Dashboard
from cnntrain.sweeps.directory import Job, Sweep
from cnntrain.sweeps.job_process import LEAVE, NOW, POLL_SECONDS, build_task
from cnntrain.sweeps.launchers import assign_gpus, build_launcher


class JobSupply(Protocol):
    """Where jobs come from: a list, or a search."""

    @property
    def total(self) -> int: ...
    @property
    def unfinished_jobs(
        self,
    ) -> list[Job]: ...  # begun or not, that are yet to be brought to an end
    def take_next_job(self) -> Job | None: ...
    def watch_jobs(self) -> None: ...
    def record_end(self, job: Job) -> None: ...
    def format_results(self) -> list[str]: ...


class GridJobs:
    """The jobs of a sweep that are left, in their order; nothing is learnt from them."""

    def __init__(self, sweep: Sweep):
        self.sweep = sweep
        self.total, self.waiting = len(sweep.jobs), sweep.list_unfinished_jobs()

    @property
    def unfinished_jobs(self) -> list[Job]:
        return self.sweep.list_unfinished_jobs()

    def take_next_job(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting else None

    def watch_jobs(self) -> None: ...

    def record_end(self, job: Job) -> None: ...

    def format_results(self) -> list[str]:
        return []


class Scheduler:
    """Those who work: on this machine `jobs` at once, each taking the next when it is ready.

    The engine of another launcher has its own: it gets all jobs together, or, where later jobs
    depend on earlier ones, `jobs` at a time.
    """

    def __init__(
        self, sweep: Sweep, supply: JobSupply, jobs: int, gpus: str | Sequence[int] | None
    ):
        here = sweep.plan["launcher"]["name"] == "local"
        self.sweep, self.supply = sweep, supply
        self.max_batches = jobs if here else 1
        self.jobs_per_batch = 1 if here else None if isinstance(supply, GridJobs) else jobs
        self.launch = build_launcher(sweep.plan["launcher"], assign_gpus(gpus, jobs), sweep.folder)
        self.running_batches: dict[Future[None], list[Job]] = {}

    def run_jobs(self, signals: Signals, board: Dashboard) -> None:
        """Bring all jobs to an end; after a signal, those at work to a state they go on from."""
        told = False
        os.environ |= build_safe_environment()
        with ThreadPoolExecutor(self.max_batches) as pool:
            try:
                while True:
                    self.collect_ended_jobs()
                    if signals.received and not told:
                        write_whole(self.sweep.stop_file, LEAVE)
                        told = True
                    self.start_jobs(pool)
                    board.update()
                    if not self.running_batches:
                        return
                    self.supply.watch_jobs()
                    time.sleep(POLL_SECONDS)
            except BaseException:  # a second Ctrl-C, or an engine that broke
                write_whole(self.sweep.stop_file, NOW)
                raise

    def start_jobs(self, pool: ThreadPoolExecutor) -> None:
        """Hand out jobs while somebody is free and nothing says to stop."""
        while len(self.running_batches) < self.max_batches and not self.sweep.stop_file.exists():
            batch = list(islice(iter(self.supply.take_next_job, None), self.jobs_per_batch))
            if not batch:
                return
            tasks = [build_task(self.sweep, job) for job in batch]
            self.running_batches[pool.submit(self.launch, tasks)] = batch

    def collect_ended_jobs(self) -> None:
        """Take back what has ended, with or without a word."""
        for future in [future for future in self.running_batches if future.done()]:
            for job in self.running_batches.pop(future):
                error = future.exception()
                if job.status in ("running", "waiting") and (
                    error or not self.sweep.stop_file.exists()
                ):
                    record_lost_job(job, error)
                self.supply.record_end(job)
            self.sweep.write_jobs_file()


def build_safe_environment() -> dict[str, str]:
    """The environment in which an engine's Python finds no module where the user happens to be."""
    given = os.environ.get("PYTHONPATH")
    absolute = [str(Path(part).absolute()) for part in given.split(os.pathsep)] if given else []
    return {"PYTHONSAFEPATH": "1"} | ({"PYTHONPATH": os.pathsep.join(absolute)} if given else {})


def record_lost_job(job: Job, error: BaseException | None) -> None:
    """Record that whoever had a job, a worker of an engine say, died before it could say so."""
    job.folder.mkdir(exist_ok=True)
    reason = "lost by its launcher"
    if error is not None:
        reason += f": {type(error).__name__}: {shorten_error(error)}"
        with open_existing(job.folder / "console.log", "a", encoding="utf-8") as console:
            traceback.print_exception(error, file=console)
    facts = {"status": "killed", "reason": reason, "ended": format_time_now()}
    write_json(job.folder / "job.json", {"overrides": job.overrides} | job.record | facts)
