"""What runs left behind: how each ended, its settings, its curves and its numbers.

Nothing here needs TensorFlow or the data. What is named is read strictly (SpecError); what lies in
a sweep is read as far as it goes, because a damaged job must not hide the others.
"""

import functools
import math
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.files.documents import explain_damage, parse_yaml, read_json
from cnntrain.files.writing import check_entry
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import (
    JOB_TYPES,
    NumberRow,
    check_types,
    find_run_folder,
    read_config,
    read_history,
    read_job,
    read_record,
    read_report,
)
from cnntrain.spec import option_files
from cnntrain.spec.metrics import rank_by
from cnntrain.spec.nested import flatten_mapping
from cnntrain.spec.renames import rename_keys
from cnntrain.spec.signatures import GROUPS


@dataclass(frozen=True)
class RunResult:
    """One run, finished or not.

    `settings` are those of its spec by dotted key; a group's own key is the option that was chosen.
    `test` holds the numbers of the weights that validation chose. `images` names the images of
    `valid` and of `test`, as far as the run has told, and `all` of its images together.
    """

    folder: Path
    status: str  # finished, running, interrupted, failed, killed, unreadable, or a job's state
    reason: str = ""  # why it is not finished
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[NumberRow] = ()
    test: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    image_fingerprints: Mapping[str, str] = field(default_factory=dict)
    has_spec: bool = True  # whether its spec is known, not just what was varied

    @property
    def name(self) -> str:
        return escape_unprintable(self.folder.name)

    @property
    def monitor(self) -> str:
        return str(self.settings.get("monitor", "valid.accuracy"))

    @property
    def best(self) -> NumberRow:
        """The row of the epoch that the monitor chose, or the last without validation."""
        rows = [row for row in self.history if math.isfinite(row.get(self.monitor, math.nan))]
        return min(rows, key=lambda row: rank_by(self.monitor, row), default=self.last)

    @property
    def last(self) -> NumberRow:
        return self.history[-1] if self.history else {}

    @property
    def numbers(self) -> NumberRow:
        """Its numbers by name: those of the best epoch, of the test split, epochs and seconds."""
        found = {key: value for key, value in self.best.items() if key.startswith("valid.")}
        found |= {key: value for key, value in self.last.items() if key.startswith("train.")}
        found |= {f"test.{key}": value for key, value in self.test.items()}
        if self.history:
            found |= {"last_epoch": self.last["epoch"], "best_epoch": self.best["epoch"]}
        if self.seconds is not None:
            found["seconds"] = self.seconds
        return {key: value for key, value in found.items() if math.isfinite(value)}


def read_run(folder: Path) -> RunResult:
    """Return the run in a directory, or raise SpecError: it is none, is newer, or is damaged."""
    run = Run(find_run_folder(str(folder)))
    record, config = read_record(run), read_config(run)
    report = read_report(run)
    tests = report.get("test", {})
    status, reason = determine_status(record)
    history = read_history(run)
    return RunResult(
        folder,
        status,
        reason,
        collect_settings(config, record),
        history,
        tests.get("best") or tests.get("final") or {},
        compute_total_seconds(report, history),
        collect_image_fingerprints(record.get("data", {})),
    )


def collect_image_fingerprints(data: Mapping[str, Any]) -> dict[str, str]:
    """The names of the images that run.json tells of."""
    whole = {"all": data["fingerprint"]} if "fingerprint" in data else {}
    return {**data.get("images", {}), **whole}


def describe_status(status: str) -> str:
    """How a run stands, as the end of a sentence: `is finished`, `has failed`."""
    verbs = {"failed": "has", "interrupted": "was", "killed": "was"}
    return f"{verbs.get(status, 'is')} {status}"


def determine_status(record: Mapping[str, Any]) -> tuple[str, str]:
    """How a run ended, and why; a process that died without a word was killed."""
    status = escape_unprintable(str(record.get("status", "unreadable")))
    here = record.get("host") == socket.gethostname()
    if status == "running" and here and not is_alive(record.get("pid", 0)):
        return "killed", "its process is gone"
    return status, escape_unprintable(record.get("error", ""), keep="\n")


def is_alive(pid: int) -> bool:
    """Whether there is such a process; no system has one of a number of 100 digits."""
    return pid < 2**31 and psutil.pid_exists(pid)


def compute_total_seconds(report: Mapping[str, Any], history: Sequence[NumberRow]) -> float | None:
    """The seconds of the whole run, or of the epochs that it has made."""
    total = report.get("seconds", {}).get("total")
    return total if total is not None else sum(row.get("seconds", 0) for row in history) or None


def collect_settings(config: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings by dotted key, each group's own key with the option that was chosen.

    That is the one in `choices` of run.json. Older runs have none: there it is the one in
    `overrides`, those that the run was begun with, or else the nearest one.
    """
    found = {escape_unprintable(key): value for key, value in flatten_mapping(config).items()}
    asked = dict(word.partition("=")[::2] for word in record.get("overrides", ()))
    chosen = asked | record.get("choices", {})
    for group in GROUPS:
        if isinstance(config.get(group), Mapping):
            found[group] = chosen.get(group) or find_nearest_option(group, config[group])
            found.pop(f"{group}.name", None)
    return found


def find_nearest_option(group: str, knobs: Mapping[str, Any]) -> str:
    """The option of a group that has most knobs in common with these."""
    name, given = str(knobs.get("name")), flatten_mapping(knobs)
    common = {
        known: sum(given.get(key, ...) == value for key, value in listed.items())
        for known, listed in load_component_options(group, name).items()
    }
    return max(common, key=lambda known: (common[known], known == name), default=name)


@functools.cache
def load_component_options(group: str, name: str) -> dict[str, dict[str, Any]]:
    """The options of a group that are the same component, with their knobs by dotted key."""
    line = re.compile(rf"^name: {re.escape(name)}\s*(#.*)?$", re.MULTILINE)
    files = option_files.find_option_files(group).items()
    shared = flatten_mapping(option_files.load_shared_knobs(group))
    return {
        known: shared | flatten_mapping(option_files.load_option(file))
        for known, file in files
        if line.search(file.read_text(encoding="utf-8"))
    }


def is_sweep(folder: Path) -> bool:
    """Whether a directory holds runs and is none itself."""
    plans = (folder / "sweep.yaml", folder / "jobs.json")
    return not Run(folder).record.is_file() and (
        any(plan.is_file() for plan in plans) or any(folder.glob("*/run.json"))
    )


def read_sweep(folder: Path) -> list[RunResult]:
    """The jobs of a sweep in their order, those that failed, wait or are damaged among them."""
    jobs = [path for path in sorted(folder.iterdir(), key=get_job_order) if is_job(path)]
    results = [read_job_result(path, read_job_or_reason(path)) for path in jobs]
    try:
        planned = read_planned_jobs(folder)
    except SpecError as error:
        return [
            *results,
            RunResult(folder / "jobs.json", "unreadable", error.given, has_spec=False),
        ]
    others = {folder / job["folder"]: job for job in planned}
    return results + [
        read_job_result(path, job) for path, job in others.items() if path not in jobs
    ]


def read_planned_jobs(folder: Path) -> list[dict[str, Any]]:
    """What jobs.json says of each job; SpecError if it is damaged, or names other directories."""
    file = folder / "jobs.json"
    if not file.is_file():
        return []
    try:
        check_entry(file, folder.resolve())
        listed = read_json(file)
    except (OSError, ValueError) as error:
        raise explain_damage(file, error) from None
    if not isinstance(listed, list) or not all(isinstance(job, dict) for job in listed):
        raise explain_damage(file, "it is no list of jobs")
    jobs = [check_types(file, job, JOB_TYPES | {"folder": str}) for job in listed]
    for job in jobs:
        if Path(job.get("folder", "")).name != job.get("folder") or job["folder"] == "..":
            raise explain_damage(file, f"it names a job in {job.get('folder')}")
    return jobs


def is_job(folder: Path) -> bool:
    try:
        return any((folder / name).is_file() for name in ("run.json", "job.json"))
    except OSError:  # one that may not be entered is a row, too
        return True


def get_job_order(folder: Path) -> tuple[float, str]:
    """Where a job stands: its directory begins with its number."""
    number = folder.name.partition("_")[0]
    return (int(number) if number.isdecimal() else math.inf, folder.name)


def read_job_or_reason(folder: Path) -> dict[str, Any]:
    """What the sweep wrote down of a job: its overrides, how it stands, and why."""
    try:
        return read_job(folder)
    except SpecError as error:
        return {"reason": error.given}


def read_job_result(folder: Path, job: Mapping[str, Any]) -> RunResult:
    """The run of a job, or why there is none; the sweep knows of ends that a run cannot record."""
    status, reason = job.get("status"), job.get("reason", "")
    try:
        result = read_run(folder)
    except (SpecError, OSError) as error:
        given = rename_keys(dict(map(split_override, job.get("overrides", []))))
        if not status or has_begun(folder):
            status, reason = "unreadable", getattr(error, "given", str(error))
        return RunResult(folder, status, reason, given, has_spec=False)
    if status in (None, "running", "waiting") or result.status == "finished":
        return result
    return replace(result, status=status, reason=reason or result.reason)


def has_begun(folder: Path) -> bool:
    try:
        return Run(folder).record.is_file()
    except OSError:
        return True


def split_override(word: str) -> tuple[str, Any]:
    """The key and the value of an override of one value."""
    key, _, value = word.partition("=")
    try:
        return key.lstrip("+"), parse_yaml(value)
    except ValueError:
        return key.lstrip("+"), value


def gather_results(paths: Sequence[Path]) -> list[RunResult]:
    """The runs in directories of runs and of sweeps, each once; SpecError for any other path."""
    found: dict[Path, RunResult] = {}
    for path in paths:
        for result in read_sweep(path) if is_sweep(path) else [read_run(path)]:
            found.setdefault(result.folder.resolve(), result)
    return fill_in_settings(list(found.values()))


def fill_in_settings(results: Sequence[RunResult]) -> list[RunResult]:
    """Jobs without a spec get the settings that all others share, beside what was varied."""
    whole = [result.settings for result in results if result.has_spec]
    shared = dict(whole[0]) if whole else {}
    for other in whole[1:]:
        shared = {key: value for key, value in shared.items() if other.get(key, ...) == value}
    return [
        result
        if result.has_spec or not result.settings
        else replace(result, settings={**shared, **result.settings})
        for result in results
    ]
