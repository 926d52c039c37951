"""Read the results of runs: how each ended, its settings, its curves and its numbers.

Nothing here needs TensorFlow or the data. A damaged run raises SpecError if the user names it. In a
sweep it becomes a row that says so, because it must not hide the other jobs.
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
    check_types,
    find_run_folder,
    read_config,
    read_job,
    read_record,
    read_report,
)
from cnntrain.runs.tables import NumberRow, read_history
from cnntrain.spec import option_files
from cnntrain.spec.metrics import choose_headlines, rank_by
from cnntrain.spec.nested import flatten_mapping
from cnntrain.spec.renames import rename_keys
from cnntrain.spec.signatures import GROUPS


@dataclass(frozen=True)
class RunResult:
    """One run, finished or not.

    `settings` holds its spec by dotted key; the key of a group has the option that was chosen.
    `test` holds the test numbers of the weights in `best.keras`. `image_fingerprints` holds
    the fingerprints of the splits that run.json names, and under `all` of all its images.
    """

    folder: Path
    status: str  # finished, running, interrupted, failed, killed, unreadable, or a job's state
    reason: str = ""  # why it is not finished
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[NumberRow] = ()
    test: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    image_fingerprints: Mapping[str, str] = field(default_factory=dict)
    has_spec: bool = True  # else only the overrides of a job are known

    @property
    def name(self) -> str:
        return escape_unprintable(self.folder.name)

    @property
    def monitor(self) -> str:
        return str(self.settings.get("monitor", "valid.accuracy"))

    @property
    def headline(self) -> str:
        """The metric that the run is known by: see `choose_headlines`."""
        return choose_headlines(self.last)[1]

    @property
    def is_validated(self) -> bool:
        """Whether the run has validation, which `dataset.valid=0` switches off."""
        return self.settings.get("dataset.valid") != 0

    @property
    def best(self) -> NumberRow:
        """The history row with the best monitor, or the last row without validation."""
        rows = [row for row in self.history if math.isfinite(row.get(self.monitor, math.nan))]
        return min(rows, key=lambda row: rank_by(self.monitor, row), default=self.last)

    @property
    def last(self) -> NumberRow:
        return self.history[-1] if self.history else {}

    @property
    def numbers(self) -> NumberRow:
        """The finite numbers of the run: of its best and last epoch, its test split, its time."""
        numbers = {key: value for key, value in self.best.items() if key.startswith("valid.")}
        numbers |= {key: value for key, value in self.last.items() if key.startswith("train.")}
        numbers |= {f"test.{key}": value for key, value in self.test.items()}
        if self.history:
            numbers |= {"last_epoch": self.last["epoch"], "best_epoch": self.best["epoch"]}
        if self.seconds is not None:
            numbers["seconds"] = self.seconds
        return {key: value for key, value in numbers.items() if math.isfinite(value)}


def read_run(folder: Path) -> RunResult:
    """Return the result of the run in a directory.

    Raises SpecError if it holds no run, a damaged one, or one of a newer version.
    """
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


def chose_epoch(report: Mapping[str, Any]) -> bool:
    """Return whether the best weights of a report were chosen by a metric.

    Without validation they are those of the last epoch.
    """
    return "monitor" not in report or report["monitor"].get("best") is not None


def collect_image_fingerprints(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprint of each split's images in run.json, and under `all` of all images."""
    whole = {"all": data["fingerprint"]} if "fingerprint" in data else {}
    return {**data.get("images", {}), **whole}


def describe_status(status: str) -> str:
    """Return a status as the end of a sentence: `is finished`, `has failed`."""
    verbs = {"failed": "has", "interrupted": "was", "killed": "was"}
    return f"{verbs.get(status, 'is')} {status}"


def determine_status(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the status of a run, and the reason; a run whose process is gone was killed."""
    status = escape_unprintable(str(record.get("status", "unreadable")))
    here = record.get("host") == socket.gethostname()
    if status == "running" and here and not is_alive(record.get("pid", 0)):
        return "killed", "its process is gone"
    return status, escape_unprintable(record.get("error", ""), keep="\n")


def is_alive(pid: int) -> bool:
    """Whether a process with this number exists; the file may hold a number of 100 digits."""
    return pid < 2**31 and psutil.pid_exists(pid)


def compute_total_seconds(report: Mapping[str, Any], history: Sequence[NumberRow]) -> float | None:
    """Return the seconds of a whole run, or of its epochs so far; None if it has no epoch."""
    total = report.get("seconds", {}).get("total")
    return total if total is not None else sum(row.get("seconds", 0) for row in history) or None


def collect_settings(config: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings by dotted key; the key of each group has the option chosen.

    The option comes from `choices` in run.json. Older runs lack it: for them it comes from the
    first overrides, or else is the option whose knobs are nearest.
    """
    settings = {escape_unprintable(key): value for key, value in flatten_mapping(config).items()}
    overrides = dict(word.partition("=")[::2] for word in record.get("overrides", ()))
    choices = overrides | record.get("choices", {})
    for group in GROUPS:
        if isinstance(config.get(group), Mapping):
            settings[group] = choices.get(group) or find_nearest_option(group, config[group])
            settings.pop(f"{group}.name", None)
    return settings


def find_nearest_option(group: str, knobs: Mapping[str, Any]) -> str:
    """Return the option of a group that has the most knobs in common with `knobs`."""
    name, values = str(knobs.get("name")), flatten_mapping(knobs)
    common = {
        option: sum(values.get(key, ...) == value for key, value in option_knobs.items())
        for option, option_knobs in load_component_options(group, name).items()
    }
    return max(common, key=lambda option: (common[option], option == name), default=name)


@functools.cache
def load_component_options(group: str, name: str) -> dict[str, dict[str, Any]]:
    """Return the options of a group that name a component, with their knobs by dotted key."""
    line = re.compile(rf"^name: {re.escape(name)}\s*(#.*)?$", re.MULTILINE)
    files = option_files.find_option_files(group).items()
    shared = flatten_mapping(option_files.load_shared_knobs(group))
    return {
        option: shared | flatten_mapping(option_files.load_option(file))
        for option, file in files
        if line.search(file.read_text(encoding="utf-8"))
    }


def is_sweep(folder: Path) -> bool:
    """Whether a directory holds runs and is not a run itself."""
    plans = (folder / "sweep.yaml", folder / "jobs.json")
    return not Run(folder).record.is_file() and (
        any(plan.is_file() for plan in plans) or any(folder.glob("*/run.json"))
    )


def read_sweep(folder: Path) -> list[RunResult]:
    """Return the results of a sweep's jobs in order, also of failed, waiting and damaged ones."""
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
    """Return the jobs in jobs.json; raise SpecError if it is damaged or names other folders."""
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
    except OSError:  # a folder that may not be entered is shown as a row, too
        return True


def get_job_order(folder: Path) -> tuple[float, str]:
    """Return a key that sorts jobs by the number at the beginning of their directory's name."""
    number = folder.name.partition("_")[0]
    return (int(number) if number.isdecimal() else math.inf, folder.name)


def read_job_or_reason(folder: Path) -> dict[str, Any]:
    """Return the content of a job's job.json, or the reason why it cannot be read."""
    try:
        return read_job(folder)
    except SpecError as error:
        return {"reason": error.given}


def read_job_result(folder: Path, job: Mapping[str, Any]) -> RunResult:
    """Return the result of a job's run, or a row with the reason why there is none.

    The sweep records ends that a run cannot record, such as a kill.
    """
    status, reason = job.get("status"), job.get("reason", "")
    try:
        result = read_run(folder)
    except (SpecError, OSError) as error:
        settings = rename_keys(dict(map(split_override, job.get("overrides", []))))
        if not status or has_begun(folder):
            status, reason = "unreadable", getattr(error, "given", str(error))
        return RunResult(folder, status, reason, settings, has_spec=False)
    if status in (None, "running", "waiting") or result.status == "finished":
        return result
    return replace(result, status=status, reason=reason or result.reason)


def has_begun(folder: Path) -> bool:
    try:
        return Run(folder).record.is_file()
    except OSError:
        return True


def split_override(word: str) -> tuple[str, Any]:
    """Return the key and the value of an override; a value that YAML cannot read stays a text."""
    key, _, value = word.partition("=")
    try:
        return key.lstrip("+"), parse_yaml(value)
    except ValueError:
        return key.lstrip("+"), value


def gather_results(paths: Sequence[Path]) -> list[RunResult]:
    """Return the results in directories of runs and sweeps, each run once.

    Raises SpecError for any other path.
    """
    results: dict[Path, RunResult] = {}
    for path in paths:
        for result in read_sweep(path) if is_sweep(path) else [read_run(path)]:
            results.setdefault(result.folder.resolve(), result)
    return fill_in_settings(list(results.values()))


def fill_in_settings(results: Sequence[RunResult]) -> list[RunResult]:
    """Return the results, where a job without a spec gets the settings that all others share."""
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
