"""The training loop: blocks of steps, and what an epoch's end asks for.

A block is some steps in one call on the device. Python looks at a block's losses while the next one
is on its way, so that the device never waits. Blocks end where an epoch, a phase, a checkpoint or a
row of steps.csv does; how steps are cut into blocks decides no number.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import keras
import numpy as np

from cnntrain.data.photos.lazy_images import ListedImages
from cnntrain.data.steps import Steps
from cnntrain.errors import Diverged
from cnntrain.files.documents import explain_damage
from cnntrain.runs.checkpoint import Checkpoint
from cnntrain.runs.directory import Run
from cnntrain.runs.tables import read_steps
from cnntrain.signals import Signals
from cnntrain.spec.spec import Spec
from cnntrain.training import warnings
from cnntrain.training.checkpointing import Checkpoints, Groups, restore_variables
from cnntrain.training.decisions import Row, Watching
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.evaluation import evaluate_network
from cnntrain.training.journal import Journal, Position
from cnntrain.training.labels.kind import get_label_kind
from cnntrain.training.losses import compute_l2_loss
from cnntrain.training.networks.build import get_normalisation_constants
from cnntrain.training.phases import Block, PhaseRun
from cnntrain.training.weight_average import WeightAverage

# Steps after which a loss that is still that of guessing is worth a warning: LEARNT_BY, or half of
# the first phase where that is less; fewer than FEWEST_JUDGED say nothing.
LEARNT_BY, FEWEST_JUDGED = 200, 20
BLOCK_SECONDS = 0.2  # that a block is to take: a signal waits for one block at most
MEASURED_BLOCKS = 3  # of one step each; the last one's time decides the length of later ones


class Progress(Protocol):
    """Who is told how a run goes on; `running/progress.py` shows it to people."""

    def note(self, line: str) -> None: ...
    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None: ...
    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None: ...
    def epoch(self, row: Row) -> None: ...


class SilentProgress:
    """A `Progress` that tells nobody."""

    def note(self, line: str) -> None: ...
    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None: ...
    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None: ...
    def epoch(self, row: Row) -> None: ...


@dataclass(kw_only=True)
class Loop:
    """Trains phases, block by block, and keeps what outlasts a phase."""

    spec: Spec
    run: Run
    network: keras.Model  # what is saved
    variables: list[keras.Variable]  # its own, and those of auxiliary heads
    average: WeightAverage | None
    steps: Steps
    chance_loss: float
    chance_accuracy: float
    position: Position
    journal: Journal
    decisions: Watching
    checkpoints: Checkpoints
    devices: Devices
    progress: Progress
    signals: Signals
    photos: ListedImages | None  # of which some may turn out to be broken
    features_once: bool = False  # whether features of frozen layers were computed once
    has_judged_guessing: bool = False  # whether the loss is that of guessing

    def train_phase(self, phase: PhaseRun) -> None:
        """Train a phase as long as its images have one size, or until patience is out."""
        self.begin_phase(phase)
        with contextlib.closing(phase.stream_blocks(self.plan_blocks(phase))) as stream:
            while not self.position.stopped_early and (block := self.wait_for(stream)) is not None:
                self.make_steps(phase, block)
                leaves = self.devices.any_of(self.signals.received is not None)
                is_due = self.devices.any_of(self.checkpoints.is_due(block.last))
                if self.ends_epoch(phase, block.last):
                    self.end_epoch(phase)
                    leaves = self.devices.any_of(leaves or self.signals.received is not None)
                elif leaves or is_due:
                    self.finish_steps(phase)
                    self.save_checkpoint(phase)
                if leaves:
                    self.checkpoints.wait()
                    self.signals.leave(asked=True)
                self.choose_block_length(phase)

    def begin_phase(self, phase: PhaseRun) -> None:
        """Begin with, or go on with, a phase whose variables are where they should be."""
        per_epoch = self.steps.per_epoch
        total = self.decisions.count_steps(self.steps.total, per_epoch)
        self.progress.begin_phase(self.position.step, total, per_epoch)
        is_new = self.position.step == self.position.phase_began
        self.weights_before = phase.read_last_weights() if is_new else []
        self.pending: tuple[Block, Any] | None = None  # steps whose losses are on their way
        length = self.spec.steps_per_block
        self.block_length, self.is_undecided = (1, True) if length == "auto" else (length, False)
        self.blocks, self.step_seconds = 0, 0.0  # so many so far; the last step's, with waiting
        self.journal.start_clock()

    def plan_blocks(self, phase: PhaseRun) -> Iterator[tuple[int, int]]:
        """Yield the step and the length of each block, from the position to `until`."""
        step = self.position.step
        every = [self.steps.per_epoch, self.spec.log_every, self.spec.checkpoint.every_steps]
        while step < phase.until:
            length = min(self.block_length, phase.longest_block)
            count = min([length, phase.until - step, *(n - step % n for n in every if n)])
            yield step, count
            step += count

    def choose_block_length(self, phase: PhaseRun) -> None:
        """Choose, once and for all workers, how many steps take about BLOCK_SECONDS."""
        self.blocks += 1
        if self.blocks < MEASURED_BLOCKS or not self.is_undecided:
            return
        seconds = self.devices.from_chief([self.step_seconds])[0]
        if seconds:
            self.is_undecided = False
            self.block_length = max(1, int(min(BLOCK_SECONDS / seconds, phase.longest_block)))

    def wait_for(self, stream: Iterator[Block]) -> Block | None:
        """Return the next block, or None after the last one."""
        self.asked_at = time.perf_counter()
        with self.journal.spend("waiting"):
            return next(stream, None)

    def make_steps(self, phase: PhaseRun, block: Block) -> None:
        """Give the device a block, and read the losses of the one before."""
        has_waited = self.pending is not None
        with self.journal.spend("steps" if self.blocks else "compiling"):
            result = phase.step.run_block(block.arrays)
            self.finish_steps(phase)
            self.pending = block, result
        # A block after a pause is only handed over: its time says nothing.
        seconds = (time.perf_counter() - self.asked_at) / block.count
        self.step_seconds = seconds if has_waited else 0.0

    def finish_steps(self, phase: PhaseRun) -> None:
        """Wait for the losses of the steps that the device was given, and write their row.

        Raises Diverged, with the exact step, if a loss is not finite.
        """
        if self.pending is None:
            return
        (block, (losses, updates, rate)), self.pending = self.pending, None
        losses = np.asarray(losses)  # waits for the device
        if (bad := np.flatnonzero(~np.isfinite(losses[:, 0]))).size:
            raise Diverged(block.first + int(bad[0]) + 1, self.position.epochs + 1)
        self.position.step, self.updates = block.last, int(updates)
        self.journal.add_steps(losses)
        if block.last % self.spec.log_every == 0 or self.ends_epoch(phase, block.last):
            self.journal.write_steps_row(block.last, float(rate))
            self.warn_of_guessing(phase)
        logs = {"cross_entropy": self.journal.cross_entropy}
        rate_now = self.journal.images_per_second
        self.progress.step(self.position.epochs + 1, block.last, rate_now, logs)
        self.learning_rate = float(rate)

    def ends_epoch(self, phase: PhaseRun, step: int) -> bool:
        """Return whether an epoch is over after `step`: a whole one, or the phase's last."""
        return step % self.steps.per_epoch == 0 or step == phase.end

    def end_epoch(self, phase: PhaseRun) -> None:
        """Validate, keep the best, lower the rate, write history, decide to stop, save."""
        self.finish_steps(phase)
        phase.step.settle()
        position, decisions = self.position, self.decisions
        position.end_epoch()
        l2 = self.spec.optimizer["l2"]
        l2_loss = compute_l2_loss(phase.step.parts.network, l2) if l2 else None
        with self.average.swapped_in() if self.average else contextlib.nullcontext():
            valid = self.validate(phase)
            row = self.journal.make_epoch_row(position, valid, self.learning_rate, l2_loss)
            if decisions.is_best(row):
                self.checkpoints.save_best(self.network)
        if decisions.should_reduce(row):
            phase.rate.reduce()
        self.journal.end_epoch(row)
        self.progress.epoch(row)
        position.stopped_early = decisions.should_stop(row)
        self.note_end(phase, row)
        self.save_checkpoint(phase)
        self.journal.start_clock()

    def validate(self, phase: PhaseRun) -> Row:
        """Return the numbers of validation, which all workers have from the chief."""
        if phase.valid is None:
            return {}
        names = get_label_kind(phase.valid.labels).metrics
        numbers = [0.0] * len(names)
        with self.journal.spend("evaluation"):
            if self.devices.is_chief:
                found = evaluate_network(
                    phase.network, phase.valid, self.spec.batch_size, self.devices.xla
                )
                numbers = [*found.values()]
            numbers = self.devices.from_chief(numbers)
        return {f"valid.{name}": number for name, number in zip(names, numbers, strict=True)}

    def note_end(self, phase: PhaseRun, row: Row) -> None:
        """Note what an epoch has shown to be wrong, and why a phase ends early."""
        position = self.position
        last = position.stopped_early or position.step == phase.end
        before, self.weights_before = self.weights_before, []
        stopped = (
            f"stopped early: {self.spec.monitor} has not improved for "
            f"{self.spec.early_stopping.patience} epochs"
        )
        steps = position.step - position.phase_began
        for line in (
            stopped if position.stopped_early and position.step < phase.end else None,
            warnings.warn_about_statistics(row, self.chance_loss) if last else None,
            warnings.warn_about_skipped_steps(self.updates, steps) if last else None,
            warnings.warn_about_standstill(before, phase.read_last_weights) if before else None,
        ):
            if line is not None:
                self.progress.note(line)

    def warn_of_guessing(self, phase: PhaseRun) -> None:
        """Warn once, in the first phase, of a loss that is still that of guessing."""
        step = self.position.step
        due = min(LEARNT_BY, max(FEWEST_JUDGED, math.ceil(phase.end / 2)))
        if self.has_judged_guessing or self.position.phase or step < due:
            return
        self.has_judged_guessing = True
        rows = read_steps(self.run)
        losses = [row["train.loss"] for row in rows if row["step"] > due // 2]
        warning = warnings.warn_about_guessing(
            step,
            float(np.mean(losses)),
            self.chance_loss,
            self.journal.count_correct(due // 2),
            self.chance_accuracy,
        )
        if warning is not None:
            self.progress.note(warning)

    def save_checkpoint(self, phase: PhaseRun) -> None:
        """Save everything that the rest of the run depends on."""
        phase.step.settle()
        own = {
            "planned_steps": self.steps.planned,
            "features_once": self.features_once,
            "warned": self.has_judged_guessing,
        }
        facts = {"decides": self.spec.deciding_values, "loop": asdict(self.position) | own}
        facts |= self.decisions.to_facts() | self.journal.to_facts()
        facts |= {"photos": self.photos.to_facts()} if self.photos else {}
        with self.journal.spend("writing"):
            self.checkpoints.save(
                {**self.lasting_variables, **phase.variables},
                get_normalisation_constants(self.network),
                facts,
            )

    @property
    def lasting_variables(self) -> Groups:
        """What outlasts a phase: weights, the seeds of dropout, their average."""
        average = self.average.variables if self.average else []
        return {"network": self.variables, "average": average}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint, but for the variables of its phase; SpecError if damaged."""
        facts = checkpoint.facts
        try:
            known = facts["loop"]
            self.position = Position(**{f.name: known[f.name] for f in fields(Position)})
            self.features_once, self.has_judged_guessing = known["features_once"], known["warned"]
            self.decisions.restore(facts)
            self.journal.restore(facts, checkpoint.arrays)
            if self.photos and "photos" in facts:
                self.photos.restore(facts["photos"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise explain_damage(self.run.state, error) from None
        restore_variables(checkpoint, self.lasting_variables)
