"""`cnntrain resume`: reopen a run, with changes of the settings that may change."""

import copy
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.runs.directory import Run
from cnntrain.runs.environment import describe_environment
from cnntrain.runs.strangers import find_run_folder, get_recorded_paths, read_config, read_record
from cnntrain.runs.tables import HISTORY_COLUMNS, STEPS_COLUMNS, check_columns
from cnntrain.spec.build import build_spec
from cnntrain.spec.nested import set_dotted_value
from cnntrain.spec.overrides import parse_single_override
from cnntrain.spec.places import (
    PATH_SETTINGS,
    check_data_paths,
    replace_paths,
    resolve_relative_paths,
)
from cnntrain.spec.renames import rename_overrides
from cnntrain.spec.spec import MAY_CHANGE, Spec
from cnntrain.training.devices.backend import check_backend_support, check_resumed_backend
from cnntrain.training.devices.cluster import find_cluster

# The keys of run.json, besides versions, whose values can change a run's numbers.
MACHINE_KEYS = ("platform", "processor", "cpu_count")


@dataclass(frozen=True)
class ResumedRun:
    """A run that is to be resumed, and its changed settings; its directory is not yet locked."""

    run: Run
    overrides: Sequence[str]
    recorded_config: Mapping[str, Any]  # spec.yaml as it was read, without the overrides
    changed_keys: Collection[str]
    config: Mapping[str, Any]
    spec: Spec  # its relative paths are resolved from where the run began: `paths`
    paths: Mapping[str, str]

    @property
    def has_more_to_train(self) -> bool:
        """Whether settings changed other than paths and the distribution."""
        return any(
            key not in PATH_SETTINGS and not key.startswith("distribution.")
            for key in self.changed_keys
        )


def read_resumed_run(path: str, overrides: Sequence[str]) -> ResumedRun:
    """Read the run in the directory `path`, with the changes of `overrides`.

    Raises SpecError if there is no run, or a setting may not change within a run.
    """
    run = Run(find_run_folder(path))
    changes = [parse_change(override) for override in rename_overrides(overrides)]
    recorded, record = read_config(run), read_record(run)
    config = copy.deepcopy(recorded)
    for key, value in changes:
        set_dotted_value(config, key, value)
    keys = {key for key, _ in changes}
    before = {key: path for key, path in get_recorded_paths(record).items() if key not in keys}
    paths = resolve_relative_paths(replace_paths(config, before)) | before
    spec = build_spec(replace_paths(config, paths))
    return ResumedRun(run, overrides, recorded, keys, config, spec, paths)


def is_other_worker(resumed: ResumedRun) -> bool:
    """Whether this process is a worker, but not the chief, of a run on several machines.

    Such a worker only reads the run's directory; the chief writes to it. Raises SpecError if it
    cannot train the run.
    """
    workers = find_cluster(resumed.spec.distribution)
    if workers is None or workers.is_chief:
        return False
    check_resumed_backend(read_record(resumed.run).get("backend", "tensorflow"))
    check_backend_support(resumed.spec)
    check_moved_data(resumed)
    return True


def reopen_run(resumed: ResumedRun) -> tuple[Run, list[str]]:
    """Lock the run, and return it with notes for the user.

    If its status is still `finished`, nothing is left to train. Raises SpecError if another process
    is training the run or has changed its spec.yaml since it was read, or if it cannot go on.
    """
    check_checkpoint_exists(resumed)
    spec, folder = resumed.spec, resumed.run.folder
    run = Run.reopen(folder)
    if read_config(run) != resumed.recorded_config:
        again = shlex.join(["cnntrain", "resume", str(folder), *resumed.overrides])
        raise SpecError(f"{run.spec} has just been changed", "one process that resumes it", again)
    record = read_record(run)
    check_resumed_backend(record.get("backend", "tensorflow"))
    check_backend_support(spec)
    if record.get("status") == "finished":
        planned = record.get("planned", {}).get("steps")
        if not resumed.has_more_to_train:
            return run, [f"{folder} is finished; epochs=N goes on beyond"]
        if planned is not None and planned == spec.max_steps:
            reason = f"{folder} is finished: max_steps={planned} ends it, whatever epochs is"
            return run, [f"{reason}; max_steps=N goes on beyond"]
    check_moved_data(resumed)
    check_columns(run.history, HISTORY_COLUMNS)
    check_columns(run.steps, STEPS_COLUMNS)
    notes = list_environment_changes(record, describe_environment())
    run.record_resume(resumed.config, resumed.overrides)
    run.update_run_json(paths=resumed.paths)
    return run, notes


def list_environment_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a note for each version and each part of the machine that has changed.

    Both are run.json's; what an earlier version of cnntrain has not recorded is not compared.
    """
    then, here = (
        record.get("versions", {}) | {key: record[key] for key in MACHINE_KEYS if key in record}
        for record in (before, now)
    )
    return [
        escape_unprintable(f"{key} was {then[key]} and is {here.get(key)}: the numbers may differ")
        for key in then
        if then[key] != here.get(key)
    ]


def check_checkpoint_exists(resumed: ResumedRun) -> None:
    """Raise SpecError for a finished run whose checkpoint is gone: it would start anew."""
    run = resumed.run
    if not resumed.has_more_to_train or any(run.state.glob("*.state")):
        return
    if read_record(run).get("status") == "finished":
        raise SpecError(
            f"{run.folder} is finished and has no checkpoint to go on from",
            f"{run.state / 'last.state'}, as training left it",
            f"a new run that begins with its weights: cnntrain … init_from={run.folder}",
        )


def check_moved_data(resumed: ResumedRun) -> None:
    """Raise SpecError, with a command to correct, if the data is not where it was."""
    try:
        check_data_paths(resumed.spec.config)
    except SpecError as error:
        place = error.given.partition(" is ")[0]
        kept = [word for word in resumed.overrides if not word.startswith(f"{place}=")]
        run = str(resumed.run.folder)
        words = ["cnntrain", "resume", run, *kept, f"{place}=/where/it/is/now"]
        raise SpecError(error.given, error.expected, shlex.join(words)) from None


def parse_change(override: str) -> tuple[str, Any]:
    """Return the key and value of an override; raise SpecError if a resume may not change it."""
    parsed = parse_single_override(override)
    key = parsed.key_or_group
    if key not in MAY_CHANGE:
        raise SpecError(
            f"{key} cannot change within a run", MAY_CHANGE, f"a new run: cnntrain … {override}"
        )
    return key, parsed.value()
