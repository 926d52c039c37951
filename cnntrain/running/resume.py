"""`cnntrain resume`: a run is opened again, its spec as it was but for what may be changed."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.runs.directory import Run
from cnntrain.runs.environment import describe_environment
from cnntrain.runs.strangers import (
    HISTORY_COLUMNS,
    STEPS_COLUMNS,
    check_columns,
    get_recorded_paths,
    read_config,
    read_record,
)
from cnntrain.spec.build import build_spec
from cnntrain.spec.nested import set_dotted_value
from cnntrain.spec.overrides import parse_single_override
from cnntrain.spec.places import (
    PATH_SETTINGS,
    check_data_paths,
    replace_paths,
    resolve_relative_paths,
)
from cnntrain.spec.spec import MAY_CHANGE, Spec
from cnntrain.training.devices.backend import check_backend_support, check_resumed_backend
from cnntrain.training.devices.cluster import find_cluster

# What of run.json can change a run's numbers.
ENVIRONMENT_KEYS = ("versions", "platform", "cpu_count")


def prepare_worker_spec(folder: Path, overrides: Sequence[str]) -> Spec | None:
    """The spec of a run of several workers, if this process is to be another than its chief.

    It reads the run's directory, which it must see, and leaves it to the chief.
    """
    run = Run(folder)
    changes = [parse_change(override) for override in overrides]
    checked, _ = build_located_spec(apply_changes(run, changes), changes, read_record(run))
    workers = find_cluster(checked.distribution)
    if workers is None or workers.is_chief:
        return None
    check_resumed_backend(read_record(run).get("backend", "tensorflow"))
    check_backend_support(checked)
    check_moved_data(checked, folder, overrides)
    return checked


def reopen_run(folder: Path, overrides: Sequence[str]) -> tuple[Spec, Run, list[str]]:
    """Return a run's spec, the run, and what to tell; the run's status is `finished` if it is.

    Raises SpecError for no run, a run that is being trained, or an override that would make it
    another run.
    """
    changes = [parse_change(override) for override in overrides]
    check_checkpoint_exists(Run(folder), overrides)
    run = Run.reopen(folder)
    record, config = read_record(run), apply_changes(run, changes)
    checked, paths = build_located_spec(config, changes, record)
    check_resumed_backend(record.get("backend", "tensorflow"))
    check_backend_support(checked)
    if record.get("status") == "finished":
        planned = record.get("planned", {}).get("steps")
        if not has_more_to_train(overrides):
            return checked, run, [f"{folder} is finished; epochs=N goes on beyond"]
        if planned is not None and planned == checked.max_steps:
            ended = f"{folder} is finished: max_steps={planned} ends it, whatever epochs is"
            return checked, run, [f"{ended}; max_steps=N goes on beyond"]
    check_moved_data(checked, folder, overrides)
    check_columns(run.history, HISTORY_COLUMNS)
    check_columns(run.steps, STEPS_COLUMNS)
    here = describe_environment()
    notes = [
        f"{key} was {record.get(key)} and is {here[key]}: the numbers may differ"
        for key in ENVIRONMENT_KEYS
        if record.get(key) != here[key]
    ]
    run.record_resume(config, overrides)
    run.update_run_json(paths=paths)
    return checked, run, notes


def check_checkpoint_exists(run: Run, overrides: Sequence[str]) -> None:
    """Refuse to go on beyond the end of a run whose state is gone: it would be made anew."""
    if not (run.record.is_file() and has_more_to_train(overrides)) or any(
        run.state.glob("*.state")
    ):
        return
    if read_record(run).get("status") == "finished":
        raise SpecError(
            f"{run.folder} is finished and has no state to go on from",
            f"{run.state / 'last.state'}, as training left it",
            f"a new run that begins with its weights: cnntrain … model.init_from={run.folder}",
        )


def has_more_to_train(overrides: Sequence[str]) -> bool:
    """Whether there is anything but who trains it, and on data from where, to go on with."""
    keys = [parse_change(override)[0] for override in overrides]
    return any(key not in PATH_SETTINGS and not key.startswith("distribution.") for key in keys)


def build_located_spec(
    config: Mapping[str, Any], changes: Sequence[tuple[str, Any]], record: Mapping[str, Any]
) -> tuple[Spec, dict[str, str]]:
    """The spec of a run with its relative paths as they were where it began, and these paths."""
    new = {key for key, _ in changes}
    before = {key: path for key, path in get_recorded_paths(record).items() if key not in new}
    paths = resolve_relative_paths(replace_paths(config, before)) | before
    return build_spec(replace_paths(config, paths)), paths


def check_moved_data(checked: Spec, run: Path, overrides: Sequence[str]) -> None:
    """Refuse data that is not where it was, and say what to type when it is found."""
    try:
        check_data_paths(checked.config)
    except SpecError as error:
        place = error.given.partition(" is ")[0]
        kept = [word for word in overrides if not word.startswith(f"{place}=")]
        words = ["cnntrain", "resume", str(run), *kept, f"{place}=/where/it/is/now"]
        raise SpecError(error.given, error.expected, shlex.join(words)) from None


def apply_changes(run: Run, changes: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A run's configuration with what is to change."""
    config = read_config(run)
    for key, value in changes:
        set_dotted_value(config, key, value)
    return config


def parse_change(override: str) -> tuple[str, Any]:
    """The key and value of an override that a resumed run may have."""
    parsed = parse_single_override(override)
    key = parsed.key_or_group
    if key not in MAY_CHANGE:
        raise SpecError(
            f"{key} cannot change within a run", MAY_CHANGE, f"a new run: cnntrain … {override}"
        )
    return key, parsed.value()
