"""Hand the jobs of a sweep to its launcher, and watch them until the last has ended."""

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
from cnntrain.spec.hydra_config import shorten_error
from cnntrain.sweeps.dashboard import Dashboard
from cnntrain.sweeps.directory import Job, Sweep
from cnntrain.sweeps.job_process import KILL, POLL_SECONDS, STOP_RUNNING, build_task
from cnntrain.sweeps.launchers import assign_gpus, build_launcher


class JobSupply(Protocol):
    """Where jobs come from: the list of a sweep, or a search.

    `unfinished_jobs` are the jobs to run to their end, begun or not. `take_next_job` returns None
    if there is no other job. `report_progress` is called every POLL_SECONDS while jobs run, so that
    a search learns of new epochs and prunes; `record_end` is called when a job has ended.
    """

    @property
    def total(self) -> int: ...
    @property
    def unfinished_jobs(self) -> list[Job]: ...
    def take_next_job(self) -> Job | None: ...
    def report_progress(self) -> None: ...
    def record_end(self, job: Job) -> None: ...
    def format_results(self) -> list[str]: ...


class GridJobs:
    """Supplies the unfinished jobs of a sweep without a search, in their order; `total` is all."""

    def __init__(self, sweep: Sweep):
        self.sweep = sweep
        self.total, self.waiting = len(sweep.jobs), sweep.list_unfinished_jobs()

    @property
    def unfinished_jobs(self) -> list[Job]:
        return self.sweep.list_unfinished_jobs()

    def take_next_job(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting else None

    def report_progress(self) -> None: ...

    def record_end(self, job: Job) -> None: ...

    def format_results(self) -> list[str]:
        return []


class Scheduler:
    """Runs jobs: at most `jobs` at a time on this machine.

    ray, joblib and submitit get the whole list and schedule it themselves. In a search, where later
    jobs depend on earlier ones, they get `jobs` at a time.
    """

    def __init__(
        self, sweep: Sweep, supply: JobSupply, jobs: int, gpus: str | Sequence[int] | None
    ):
        is_local = sweep.plan["launcher"]["name"] == "local"
        self.sweep, self.supply = sweep, supply
        self.max_launches = jobs if is_local else 1
        self.jobs_per_launch = 1 if is_local else None if isinstance(supply, GridJobs) else jobs
        self.launch = build_launcher(sweep.plan["launcher"], assign_gpus(gpus, jobs), sweep.folder)
        self.running_launches: dict[Future[None], list[Job]] = {}

    def run_jobs(self, signals: Signals, board: Dashboard) -> None:
        """Run all jobs to their end; after a signal, stop the running ones at a checkpoint."""
        was_stopped = False
        os.environ |= build_safe_environment()
        with ThreadPoolExecutor(self.max_launches) as pool:
            try:
                while True:
                    self.collect_ended_jobs()
                    if signals.received and not was_stopped:
                        write_whole(self.sweep.stop_file, STOP_RUNNING)
                        was_stopped = True
                    self.start_jobs(pool)
                    board.update()
                    if not self.running_launches:
                        return
                    self.supply.report_progress()
                    time.sleep(POLL_SECONDS)
            except BaseException:  # a second Ctrl-C, or a fault of an engine
                write_whole(self.sweep.stop_file, KILL)
                raise

    def start_jobs(self, pool: ThreadPoolExecutor) -> None:
        """Launch jobs while there is room for another launch and the sweep is not being stopped."""
        while len(self.running_launches) < self.max_launches and not self.sweep.stop_file.exists():
            jobs = list(islice(iter(self.supply.take_next_job, None), self.jobs_per_launch))
            if not jobs:
                return
            tasks = [build_task(self.sweep, job) for job in jobs]
            self.running_launches[pool.submit(self.launch, tasks)] = jobs

    def collect_ended_jobs(self) -> None:
        """Record the launches that have ended, and the jobs that their launcher has lost."""
        for future in [future for future in self.running_launches if future.done()]:
            for job in self.running_launches.pop(future):
                error = future.exception()
                if job.status in ("running", "waiting") and (
                    error or not self.sweep.stop_file.exists()
                ):
                    record_lost_job(job, error)
                self.supply.record_end(job)
            self.sweep.write_jobs_file()


def build_safe_environment() -> dict[str, str]:
    """Return variables with which an engine's Python imports nothing from the working directory."""
    python_path = os.environ.get("PYTHONPATH")
    if not python_path:
        return {"PYTHONSAFEPATH": "1"}
    absolute = [str(Path(part).absolute()) for part in python_path.split(os.pathsep)]
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(absolute)}


def record_lost_job(job: Job, error: BaseException | None) -> None:
    """Record that a job was killed because its launcher, such as a worker of an engine, has died.

    The traceback of `error` is added to the job's console.log.
    """
    job.folder.mkdir(exist_ok=True)
    reason = "lost by its launcher"
    if error is not None:
        reason += f": {type(error).__name__}: {shorten_error(error)}"
        with open_existing(job.folder / "console.log", "a", encoding="utf-8") as console:
            traceback.print_exception(error, file=console)
    facts = {"status": "killed", "reason": reason, "ended": format_time_now()}
    write_json(job.folder / "job.json", {"overrides": job.overrides} | job.record | facts)
