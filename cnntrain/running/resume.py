"""`cnntrain resume`: a run is opened again, its spec as it was but for what may be changed."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.runs.directory import Run
from cnntrain.runs.environment import environment
from cnntrain.runs.strangers import (
    HISTORY,
    STEPS,
    check_columns,
    paths_of,
    read_config,
    read_record,
)
from cnntrain.spec.build import spec
from cnntrain.spec.nested import put
from cnntrain.spec.overrides import parse_one
from cnntrain.spec.places import PLACES, absolute_paths, check_places, with_paths
from cnntrain.spec.spec import MAY_CHANGE, Spec
from cnntrain.training.devices.backend import check_backend, check_resumed
from cnntrain.training.devices.cluster import cluster_of

# What of run.json can change a run's numbers.
MATTERS = ("versions", "platform", "cpu_count")


def assistant(folder: Path, overrides: Sequence[str]) -> Spec | None:
    """The spec of a run of several workers, if this process is to be another than its chief.

    It reads the run's directory, which it must see, and leaves it to the chief.
    """
    run = Run(folder)
    changes = [changed(override) for override in overrides]
    checked, _ = located(changed_config(run, changes), changes, read_record(run))
    workers = cluster_of(checked.distribution)
    if workers is None or workers.is_chief:
        return None
    check_resumed(read_record(run).get("backend", "tensorflow"))
    check_backend(checked)
    check_moved(checked, folder, overrides)
    return checked


def reopened(folder: Path, overrides: Sequence[str]) -> tuple[Spec, Run, list[str]]:
    """Return a run's spec, the run, and what to tell; the run's status is `finished` if it is.

    Raises SpecError for no run, a run that is being trained, or an override that would make it
    another run.
    """
    changes = [changed(override) for override in overrides]
    check_state(Run(folder), overrides)
    run = Run.reopen(folder)
    record, config = read_record(run), changed_config(run, changes)
    checked, paths = located(config, changes, record)
    check_resumed(record.get("backend", "tensorflow"))
    check_backend(checked)
    if record.get("status") == "finished":
        planned = record.get("planned", {}).get("steps")
        if not longer(overrides):
            return checked, run, [f"{folder} is finished; epochs=N goes on beyond"]
        if planned is not None and planned == checked.max_steps:
            ended = f"{folder} is finished: max_steps={planned} ends it, whatever epochs is"
            return checked, run, [f"{ended}; max_steps=N goes on beyond"]
    check_moved(checked, folder, overrides)
    check_columns(folder / "history.csv", HISTORY)
    check_columns(folder / "steps.csv", STEPS)
    here = environment()
    notes = [
        f"{key} was {record.get(key)} and is {here[key]}: the numbers may differ"
        for key in MATTERS
        if record.get(key) != here[key]
    ]
    run.go_on(config, overrides)
    run.update(paths=paths)
    return checked, run, notes


def check_state(run: Run, overrides: Sequence[str]) -> None:
    """Refuse to go on beyond the end of a run whose state is gone: it would be made anew."""
    if not (run.record.is_file() and longer(overrides)) or any(run.state.glob("*.state")):
        return
    if read_record(run).get("status") == "finished":
        raise SpecError(
            f"{run.folder} is finished and has no state to go on from",
            f"{run.state / 'last.state'}, as training left it",
            f"a new run that begins with its weights: cnntrain … model.init_from={run.folder}",
        )


def longer(overrides: Sequence[str]) -> bool:
    """Whether there is anything but who trains it, and on data from where, to go on with."""
    keys = [changed(override)[0] for override in overrides]
    return any(key not in PLACES and not key.startswith("distribution.") for key in keys)


def located(
    config: Mapping[str, Any], changes: Sequence[tuple[str, Any]], record: Mapping[str, Any]
) -> tuple[Spec, dict[str, str]]:
    """The spec of a run with its relative paths as they were where it began, and these paths."""
    new = {key for key, _ in changes}
    before = {key: path for key, path in paths_of(record).items() if key not in new}
    paths = absolute_paths(with_paths(config, before)) | before
    return spec(with_paths(config, paths)), paths


def check_moved(checked: Spec, run: Path, overrides: Sequence[str]) -> None:
    """Refuse data that is not where it was, and say what to type when it is found."""
    try:
        check_places(checked.config)
    except SpecError as error:
        place = error.given.partition(" is ")[0]
        kept = [word for word in overrides if not word.startswith(f"{place}=")]
        words = ["cnntrain", "resume", str(run), *kept, f"{place}=/where/it/is/now"]
        raise SpecError(error.given, error.expected, shlex.join(words)) from None


def changed_config(run: Run, changes: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A run's configuration with what is to change."""
    config = read_config(run)
    for key, value in changes:
        put(config, key, value)
    return config


def changed(override: str) -> tuple[str, Any]:
    """The key and value of an override that a resumed run may have."""
    parsed = parse_one(override)
    key = parsed.key_or_group
    if key not in MAY_CHANGE:
        raise SpecError(
            f"{key} cannot change within a run", MAY_CHANGE, f"a new run: cnntrain … {override}"
        )
    return key, parsed.value()
