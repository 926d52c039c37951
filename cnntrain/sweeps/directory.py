"""The directory of a sweep. It holds the plan, and a directory for each job.

sweep.yaml   the command line and the jobs that it means, written before the first job begins
jobs.json    how each job ended, and why
search.db    the trials of a search, if the sweep is one
stop         exists while the sweep is being stopped, and tells all jobs so, wherever they run
lock         held by the process that runs the jobs
sweep.html   the results
0_seed=1/    a job: the directory of its run, and
             job.json     who runs it, how it ended, and why
             console.log  all that it printed
             prune        exists while a search stops the job, and says why
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from cnntrain.errors import SpecError
from cnntrain.files.documents import explain_damage, write_json
from cnntrain.files.locks import acquire_lock
from cnntrain.files.writing import check_links_inside, clear_unfinished, write_whole
from cnntrain.runs.directory import Run, explain_unwritable, remove_empty_folders
from cnntrain.runs.strangers import read_job, read_report
from cnntrain.sweeps.sweep_file import read_plan

GOOD_STATUSES = ("finished", "pruned")  # the job has not failed
DONE_STATUSES = (*GOOD_STATUSES, "diverged")  # never run again: the spec would diverge again
ENDED_STATUSES = (*DONE_STATUSES, "failed", "out of memory", "refused", "killed")  # not running


@dataclass(frozen=True)
class Job:
    """A run of a sweep: its number, its folder and its overrides."""

    number: int
    folder: Path
    overrides: tuple[str, ...]

    @property
    def record(self) -> dict[str, Any]:
        """The content of job.json; empty before the job has begun, or if the file is damaged."""
        try:
            return read_job(self.folder)
        except SpecError:
            return {}

    @property
    def status(self) -> str:
        return self.record.get("status", "waiting")

    def format_varied_values(self, varied: Sequence[str]) -> dict[str, str]:
        """Return the job's values of the `varied` keys, with long numbers shortened for people."""
        values = dict(text.partition("=")[::2] for text in self.overrides)
        return {key: shorten_number(values.get(key, "")) for key in varied}


class Sweep:
    """A sweep in its directory, whose files are replaced whole.

    `begin` and `reopen` lock the directory until this process ends.
    """

    def __init__(self, folder: Path):
        self.folder = folder = folder.absolute()
        self.plan_file = folder / "sweep.yaml"
        self.stop_file, self.database = folder / "stop", folder / "search.db"
        self.lock = FileLock(folder / "lock")  # held by the process that runs the jobs
        self.plan: dict[str, Any] = {}
        self.jobs: list[Job] = []

    @classmethod
    def begin(
        cls, folder: Path, plan: Mapping[str, Any], overrides: Sequence[Sequence[str]]
    ) -> "Sweep":
        """Create a sweep's directory and write its plan, with a job for each of `overrides`.

        Raises SpecError if the directory is not empty or cannot be written.
        """
        sweep = cls(folder)
        created = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise FileExistsError
        except (FileExistsError, NotADirectoryError):
            hint = "leave hydra.sweep.dir out, or name a new one"
            if sweep.plan_file.is_file():
                command = shlex.join(["cnntrain", "resume", str(folder)])
                hint = f"{command}, to go on with the sweep in it"
            raise SpecError(
                f"{folder} is {'not empty' if folder.is_dir() else 'not a directory'}",
                "a directory of its own for every sweep",
                hint,
            ) from None
        except OSError as error:
            remove_empty_folders(created)
            raise explain_unwritable(folder, error, "hydra.sweep.dir") from error
        sweep.lock_folder()
        sweep.plan = dict(plan)
        for words in overrides:
            sweep.add_job(words)
        try:
            sweep.write_plan()
        except OSError as error:  # the disk is full
            sweep.lock.release()
            Path(sweep.lock.lock_file).unlink(missing_ok=True)
            remove_empty_folders(created)
            raise explain_unwritable(folder, error, "hydra.sweep.dir") from error
        return sweep

    @classmethod
    def reopen(cls, folder: Path) -> "Sweep":
        """Return the sweep in a directory; raise SpecError if it is damaged or already running."""
        sweep = cls(folder)
        check_links_inside(folder)
        sweep.lock_folder()
        sweep.plan = read_plan(sweep.plan_file)
        for words in sweep.plan.pop("jobs"):
            place = sweep.add_job(words).folder
            if place.exists() and not place.is_dir():
                raise explain_damage(place, "it is no folder")
        for place in (folder, *(job.folder for job in sweep.jobs)):
            clear_unfinished(place)
        sweep.stop_file.unlink(missing_ok=True)
        return sweep

    def lock_folder(self) -> None:
        """Lock the sweep until this process ends; raise SpecError if another process runs it."""
        try:
            acquire_lock(self.lock, 0)
        except Timeout:
            raise SpecError(
                f"{self.folder} is being run by another process",
                "a sweep that is not running",
                "wait for it, or stop it",
            ) from None

    def write_plan(self) -> None:
        """Write sweep.yaml: the plan and the jobs."""
        plan = self.plan | {"jobs": [list(job.overrides) for job in self.jobs]}
        text = yaml.safe_dump(plan, sort_keys=False, default_flow_style=None, width=100)
        write_whole(self.plan_file, f"# cnntrain -m {' '.join(self.plan['overrides'])}\n{text}")

    @property
    def varied_keys(self) -> list[str]:
        return self.plan["varied"]

    def add_job(self, overrides: Sequence[str]) -> Job:
        """Add a job with these overrides, and return it.

        Its folder is named after its number and its values of the varied keys.
        """
        job = Job(len(self.jobs), self.folder, tuple(overrides))
        values = sorted(job.format_varied_values(self.varied_keys).items())
        words = ",".join(f"{key}={value}" for key, value in values)
        slug = re.sub(r"[^\w=.,+-]+", "-", words)[:100]
        name = f"{job.number}_{slug}" if slug else str(job.number)
        job = replace(job, folder=self.folder / name)
        self.jobs.append(job)
        return job

    def list_unfinished_jobs(self) -> list[Job]:
        """Return the jobs to run: not begun, interrupted, or failed other than by diverging."""
        return [job for job in self.jobs if job.status not in DONE_STATUSES]

    def write_jobs_file(self) -> None:
        """Write jobs.json: the status of each job, and the reason of a failure."""
        rows = [
            {"job": job.number, "folder": job.folder.name, "overrides": job.overrides}
            | {"status": "waiting", "reason": None}
            | {key: value for key, value in job.record.items() if key in SUMMARY_KEYS}
            for job in self.jobs
        ]
        write_json(self.folder / "jobs.json", rows)


SUMMARY_KEYS = ("status", "reason", "retried", "started", "ended")


def shorten_number(text: str) -> str:
    """Return the text of a number with at most four digits if it is long, and others unchanged."""
    try:
        return f"{float(text):.4g}" if len(text) > 8 else text
    except ValueError:
        return text


def read_best_value(job: Job) -> float | None:
    """Return the best monitored value of a finished job; None for any other job."""
    try:
        return read_report(Run(job.folder)).get("monitor", {}).get("best")
    except SpecError:  # the report is damaged; the page of the sweep says so
        return None
