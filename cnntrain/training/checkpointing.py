"""What a fit's checkpoint holds, how it is saved, and how a resumed run takes it over."""

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from cnntrain.data.fingerprint import LISTING, compute_fingerprint
from cnntrain.data.source import Splits
from cnntrain.errors import SpecError
from cnntrain.files.writing import find_disk_failure
from cnntrain.runs.checkpoint import Checkpoint, save_checkpoint
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import check_required_keys, check_types, read_record
from cnntrain.runs.writer import BackgroundWriter
from cnntrain.spec.knobs import Count, Natural
from cnntrain.spec.renames import rename_keys
from cnntrain.spec.spec import MAY_CHANGE, CheckpointSettings, Spec
from cnntrain.training.journal import TABLES
from cnntrain.training.networks.snapshot import save_snapshot, take_snapshot

Groups = Mapping[str, list[keras.Variable]]

# What a checkpoint must say, beside arrays.
FACTS = {
    "decides": dict, "loop": dict, "best": dict, "patience": dict, "plateau": dict,
    "tables": dict[str, Natural], "loop.step": Natural, "loop.planned_steps": Count,
}  # fmt: skip


class Checkpoints:
    """Saves the checkpoints of a run in the background; only the chief of several workers does."""

    def __init__(
        self, run: Run, settings: CheckpointSettings, note: Callable[[str], None], writes: bool
    ):
        self.run, self.settings, self.note = run, settings, note
        self.writer = BackgroundWriter() if writes else None
        self.saved_at = time.monotonic()
        self.failure: str | None = None  # why the last one could not be written

    @contextlib.contextmanager
    def write_in_background(self) -> Iterator[None]:
        """Write in the background within the block; leave it when everything is written."""
        try:
            with self.writer or contextlib.nullcontext():
                yield
        finally:
            self.note_failure()

    def is_due(self, step: int) -> bool:
        """Return whether the settings want a checkpoint within the epoch now."""
        steps, minutes = self.settings.every_steps, self.settings.every_minutes
        return (steps is not None and step % steps == 0) or (
            minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes
        )

    def save(self, groups: Groups, constants: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Save the values of variables, the normalisation's constants, and facts.

        They are copied now and written later. A disk that is full costs a checkpoint, not the run.
        """
        self.saved_at = time.monotonic()
        self.note_failure()
        if self.writer is None:
            return
        arrays = {
            name: variable.numpy()
            for group, variables in groups.items()
            for name, variable in name_variables(group, variables)
        }
        arrays |= {f"normalisation/{k}": np.asarray(v, np.float64) for k, v in constants.items()}
        tables = [self.run.folder / table for table in TABLES]
        facts = copy.deepcopy(facts)  # training goes on before they are written

        def write() -> None:
            try:
                save_checkpoint(self.run.state, arrays, facts, tables)
            except OSError as error:
                why = find_disk_failure(error) or error
                before = any(self.run.state.glob("*.state"))
                stays = "the one before stays" if before else "there is none before it"
                self.failure = f"the state could not be written ({why}); {stays}"

        self.writer.submit(write)

    def save_best(self, network: keras.Model) -> None:
        """Save a network, as it is now, as the best one; its values are copied now."""
        if self.writer is not None:
            values = take_snapshot(network.variables)
            self.writer.submit(lambda: save_snapshot(self.run, network, values, self.run.best))

    def wait(self) -> None:
        """Wait until everything is written; before that no layer may be frozen or thawed."""
        if self.writer is not None:
            self.writer.wait()

    def note_failure(self) -> None:
        """Note, once, why a checkpoint could not be written."""
        failure, self.failure = self.failure, None
        if failure is not None:
            self.note(failure)


def name_variables(group: str, variables: list[keras.Variable]) -> list[tuple[str, keras.Variable]]:
    """Return variables with the names that they have in a checkpoint.

    Only paths of the network are the same in every life: a second phase's optimizer is the second
    of its process, `adam_1`, or the first.
    """
    return [
        (f"{group}/{number}/{v.path if group == 'network' else v.name}", v)
        for number, v in enumerate(variables)
    ]


def restore_variables(checkpoint: Checkpoint, groups: Groups) -> None:
    """Give every variable its value in the checkpoint; raise SpecError if it has none."""
    for group, variables in groups.items():
        for name, variable in name_variables(group, variables):
            array = checkpoint.arrays.get(name)
            if array is None or array.shape != tuple(variable.shape):
                raise SpecError(
                    f"the state has no {name} of the shape {tuple(variable.shape)}",
                    "the state that training left, of the same versions",
                )
            variable.assign(array)


def read_normalisation(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    """Return the constants of the normalisation that a checkpoint holds."""
    if checkpoint is None:
        return None
    return {key: checkpoint.arrays[f"normalisation/{key}"].tolist() for key in ("scale", "offset")}


def check_resumable(
    spec: Spec, run: Run, splits: Splits, checkpoint: Checkpoint, total_steps: int
) -> None:
    """Raise SpecError for a checkpoint that is not of this spec and these images."""
    if not checkpoint.arrays:
        raise SpecError(f"no state in {run.state} is whole", "one that is", "a new run")
    facts = check_types(run.state, checkpoint.facts, FACTS)
    check_required_keys(run.state, facts, [key for key in FACTS if "." not in key])
    check_required_keys(run.state, facts["loop"], ("step", "planned_steps"))
    constants = ("normalisation/scale", "normalisation/offset")
    check_required_keys(run.state, checkpoint.arrays, constants)
    before, now = rename_keys(facts["decides"]), spec.deciding_values
    differ = [
        key
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in MAY_CHANGE
    ]
    if differ:
        raise SpecError(
            f"the state in {run.state} is of another spec: {', '.join(differ)}",
            "the spec.yaml that the run began with",
        )
    if facts["loop"]["step"] > total_steps:
        raise SpecError(
            f"the run has made {facts['loop']['step']} steps and is to end after {total_steps}",
            "more epochs than it has made",
        )
    known = read_record(run) if run.record.exists() else {}  # a refit has no record
    begun = known.get("data", {}).get("fingerprint")
    if begun and begun != (found := compute_fingerprint(splits)):
        if found.startswith(LISTING) and not begun.startswith(LISTING):
            raise SpecError(
                "the photos are only listed, and the run began with the contents of all",
                "photos that are all read before the first step",
                f"cnntrain resume {run.folder} dataset.scan=all",
            )
        known_places = [key for key in ("table", "folder") if key in spec.dataset.knobs]
        place = f"dataset.{known_places[0]}" if known_places else "data_dir"
        raise SpecError(
            "the images are not those that the run began with, or have other labels or weights",
            f"the fingerprint {begun[:12]}…",
            f"cnntrain resume {run.folder} {place}=/where/those/are",
        )
