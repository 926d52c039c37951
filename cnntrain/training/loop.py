"""What happens while Keras' `fit` runs: after each step a little, after each epoch this list.

All that a resumed run must know is here or in Keras' variables, and goes into the state together.
"""

import contextlib
import csv
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np

from cnntrain.data.source import Examples
from cnntrain.errors import Diverged, SpecError
from cnntrain.files.documents import explain_damage
from cnntrain.files.writing import find_disk_failure
from cnntrain.runs import checkpoint
from cnntrain.runs.checkpoint import Checkpoint
from cnntrain.runs.directory import Run
from cnntrain.signals import Signals
from cnntrain.spec.metrics import choose_tie_breaker
from cnntrain.spec.spec import Spec
from cnntrain.training.evaluation import METRICS, evaluate_network
from cnntrain.training.monitor import Monitor, PlateauWatch
from cnntrain.training.network import get_normalisation_constants
from cnntrain.training.schedules import Rate
from cnntrain.training.trainee import Average, Trainee

if TYPE_CHECKING:
    from cnntrain.training.devices.parallel import Parallel


Row = dict[str, float]
TABLES = ("history.csv", "steps.csv")
# What a state remembers of the loop, beside its monitors.
REMEMBERED = (
    "step", "epochs", "first_step", "phase", "phase_began", "phases", "fell", "stopped_early",
    "seconds", "epoch_seconds", "window", "best_row", "planned_steps", "warned",
    "features_once",
)  # fmt: skip
LEARNT_BY = 200  # steps after which a loss that is still that of guessing is worth a warning


class Progress(Protocol):
    """Who is told how a run goes on; `running/progress.py` shows it to people."""

    def note(self, line: str) -> None: ...
    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None: ...
    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None: ...
    def epoch(self, row: Row) -> None: ...


@dataclass(frozen=True)
class Stage:
    """A phase as it is trained: what `fit` gets, what is validated, how far it goes.

    `network` is what is left to compute for the examples of `valid`, which are images or, above
    frozen layers, their features.
    """

    trainee: Trainee
    network: keras.Model
    rate: Rate
    valid: Examples | None


@dataclass(frozen=True)
class Script:
    """What a training did that depended on its validation; a refit, which has none, repeats it."""

    epochs: int
    planned_epochs: int  # for which its rates were planned
    phases: Sequence[int] = (0,)  # the epochs before each phase
    fell: Sequence[int] = ()  # the epochs after which the plateau lowered the rate


class Loop(keras.callbacks.Callback):
    """Validates, lowers the rate, keeps the best, writes the history and the state, and stops."""

    def __init__(
        self,
        spec: Spec,
        run: Run,
        network: keras.Model,
        variables: list[keras.Variable],
        average: Average | None,
        steps_per_epoch: int,
        total_steps: int,
        guessing: float,
        progress: Progress,
        script: Script | None = None,
        parallel: "Parallel | None" = None,
    ):
        super().__init__()
        self.parallel = parallel
        self.writes = parallel is None or parallel.is_chief
        self.spec, self.run, self.network = spec, run, network
        self.variables, self.average = variables, average
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        self.planned_steps = total_steps  # when the run began; more epochs may have come since
        self.guessing, self.progress, self.script = guessing, progress, script
        self.best = Monitor(spec.monitor, tie=choose_tie_breaker(spec.monitor))
        self.step = self.epochs = 0  # done so far
        self.first_step = 0  # the one at which this epoch began
        self.phase, self.phase_began, self.phase_steps = 0, 0, 0
        self.phases: list[int] = [0]  # these two are for a Script
        self.fell: list[int] = []
        self.stopped_early = self.features_once = False
        self.seconds = 0.0  # of training steps, without validation and saving
        self.epoch_seconds = 0.0  # of this epoch, in the lives before this one
        self.window = (0, 0.0)  # steps of this epoch already in steps.csv, their summed loss
        self.best_row: Row | None = None
        self.warned = False
        self.patience, self.plateau = self.watches()
        self.signals = Signals()
        self.resumed: Checkpoint | None = None
        self.began_with: list[np.ndarray] = []

    def watches(self) -> tuple[Monitor, PlateauWatch]:
        """What each phase watches anew: early stopping's patience and the plateau."""
        plateau = self.spec.schedule["plateau"]
        return (
            Monitor(self.spec.monitor, self.spec.early_stopping.min_delta),
            PlateauWatch(
                Monitor("valid.loss", plateau["min_delta"]),
                plateau["patience"],
                plateau["cooldown"],
            ),
        )

    def resume(self, resumed: Checkpoint | None) -> None:
        """Become the loop that wrote the state, or begin; the stage's variables follow later."""
        if resumed is not None:
            self.recall(resumed)
            assign(resumed, self.lasting())
        for table in TABLES:
            if not self.run.truncate_table(table, resumed.facts["tables"][table] if resumed else 0):
                self.progress.note(
                    f"Warning: {self.run.folder / table} lacks rows that it had when the state was "
                    "written; they are not made again"
                )
        self.resumed = resumed

    def recall(self, resumed: Checkpoint) -> None:
        """Take over what the state says beside arrays; SpecError if it is not one of ours."""
        facts = resumed.facts
        try:
            for name in REMEMBERED:
                setattr(self, name, facts["loop"].get(name, getattr(self, name)))
            self.best, self.patience = Monitor(**facts["best"]), Monitor(**facts["patience"])
            watch = facts["plateau"]
            self.plateau = PlateauWatch(**watch | {"monitor": Monitor(**watch["monitor"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise explain_damage(self.run.state, error) from None

    def turn_to(self, number: int, steps: int) -> bool:
        """Begin a phase of so many steps, or go on with it; return whether any are left."""
        if number > self.phase:
            self.phase, self.phase_began = number, self.step
            self.phases.append(self.epochs)
            self.patience, self.plateau = self.watches()
            self.stopped_early, self.resumed = False, None
        self.phase_steps = steps
        return self.step < self.ends and not self.stopped_early

    def enter(self, stage: Stage) -> None:
        """Take the phase's variables to where the state left them."""
        self.stage = stage
        if self.resumed is not None:
            assign(self.resumed, self.passing())
        self.progress.begin_phase(self.step, self.total_steps, self.steps_per_epoch)
        self.saved = time.monotonic()
        self.began_with = self.last_weights() if self.step == self.phase_began else []

    def last_weights(self) -> list[np.ndarray]:
        """The weights that the loss is nearest to: those of the last layer that trains."""
        return [v.numpy() for v in self.stage.trainee.trainable_variables[-2:]]

    @property
    def ends(self) -> int:
        """The step with which the phase ends, unless it stops early."""
        if self.script is None:
            return self.phase_began + self.phase_steps
        later = [*self.script.phases[self.phase + 1 :], self.script.epochs]
        return min(later[0], self.script.epochs) * self.steps_per_epoch

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        if self.step > self.first_step and self.resumed:  # Keras has just reset its metrics
            assign(self.resumed, {"metrics": self.model.metrics_variables})
        else:
            self.window, self.epoch_seconds = (0, 0.0), 0.0
        self.epoch_began = time.perf_counter() - self.epoch_seconds

    def on_train_batch_end(self, batch: int, logs: Row | None = None) -> None:
        assert logs is not None
        self.step += 1
        self.epoch_seconds = time.perf_counter() - self.epoch_began
        done = self.step - self.first_step
        rate = done * self.spec.batch_size / self.epoch_seconds
        over = self.step % self.steps_per_epoch == 0 or self.step == self.ends
        if not math.isfinite(logs["loss"]):
            raise Diverged(self.step, self.epochs + 1)
        if self.step % self.spec.log_every == 0 or over:
            self.log_steps(done, logs["cross_entropy"] * done, rate)
        self.progress.step(self.epochs + 1, self.step, rate, logs)
        if over:
            self.model.stop_training = True  # for Keras a resumed epoch would not be over yet
        elif self.is_due() or self.signals.due_signal:
            self.save()
            self.signals.leave()

    def settle(self) -> None:
        """Bring the variables up to date, which JAX does by itself only when an epoch is over."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()

    def is_due(self) -> bool:
        """Whether the settings want a state within the epoch now."""
        steps, minutes = self.spec.checkpoint.every_steps, self.spec.checkpoint.every_minutes
        return (steps is not None and self.step % steps == 0) or (
            minutes is not None and time.monotonic() - self.saved >= 60 * minutes
        )

    def log_steps(self, done: int, summed: float, images_per_second: float) -> None:
        """Write the mean loss of the steps since the last row, which running means contain."""
        before, summed_before = self.window
        self.settle()
        row = {
            "step": self.step,
            "train.loss": (summed - summed_before) / (done - before),
            "learning_rate": self.learning_rate(),
            "images_per_second": round(images_per_second, 1),
        }
        self.run.append_row("steps.csv", row)
        self.window = (done, summed)
        if self.step >= LEARNT_BY and not self.warned and self.phase == 0:
            self.warned = True
            self.warn_of_guessing()

    def warn_of_guessing(self) -> None:
        """Say so if the loss of the last steps is what guessing by class frequency would give."""
        with (self.run.folder / "steps.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) > LEARNT_BY // 2]
        loss = float(np.mean([float(row["train.loss"]) for row in rows]))
        if abs(loss - self.guessing) < 0.01 * self.guessing:
            self.progress.note(
                f"Warning: after {self.step} steps the loss is {loss:.3f}, as if the network "
                f"guessed ({self.guessing:.3f}); it may never learn. Try model.batch_norm=true, a "
                "smaller optimizer.learning_rate, or another initializer."
            )

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        assert logs is not None
        self.seconds += self.epoch_seconds
        self.epochs += 1
        with self.average.in_place() if self.average else contextlib.nullcontext():
            row = self.row(logs)
            if self.stage.valid is not None and self.best.update_best(row):
                self.best_row = row
                if self.writes:
                    self.run.save_network(self.network, self.run.best)
        if self.falls(row):
            self.stage.rate.reduce()
            self.fell.append(self.epochs)
        self.run.append_row("history.csv", row)
        self.progress.epoch(row)
        self.stopped_early = self.has_waited(row)
        if self.stopped_early and self.step < self.ends:
            self.progress.note(
                f"stopped early: {self.spec.monitor} has not improved for "
                f"{self.spec.early_stopping.patience} epochs"
            )
        self.model.stop_training = self.stopped_early or self.step == self.ends
        if self.model.stop_training:
            self.warn_of_statistics(row)
            self.warn_of_skipped_steps()
        self.warn_of_standstill()
        self.resumed = None
        self.first_step = self.step
        self.save()
        self.signals.leave()

    def warn_of_standstill(self) -> None:
        """Say so where the first epoch of a phase has left its last layer exactly as it was."""
        before, self.began_with = self.began_with, []
        if before and all(map(np.array_equal, before, self.last_weights())):
            self.progress.note(
                "Warning: the epoch has changed no weight of the last layer: the steps are too "
                "small for float32. Try a larger optimizer.learning_rate."
            )

    def falls(self, row: Row) -> bool:
        """Whether the plateau lowers the rate after this epoch."""
        if self.script is not None:
            return self.epochs in self.script.fell
        return self.plateau.should_reduce(row)

    def has_waited(self, row: Row) -> bool:
        """Whether early stopping's patience is at its end."""
        if self.script is not None:
            return False
        self.patience.update_best(row)
        patience = self.spec.early_stopping.patience
        return patience is not None and self.patience.waited >= patience

    def warn_of_statistics(self, row: Row) -> None:
        """Say so where only training looks good: batch norm's statistics lag, or worse."""
        chance = math.exp(-self.guessing)
        learnt = (row["train.accuracy"] - chance) / (1 - chance)
        shown = (row.get("valid.accuracy", 1) - chance) / (1 - chance)
        if learnt > 0.3 and shown < 0.2 * learnt:
            self.progress.note(
                f"Warning: validation is near chance (accuracy {row['valid.accuracy']:.3f}) and "
                f"training is not ({row['train.accuracy']:.3f}). The statistics of batch norm may "
                "lag behind (batch_norm_momentum=auto), or the validation images are of another "
                "kind."
            )

    def row(self, logs: Row) -> Row:
        """An epoch's numbers, under the names that `monitor` and history.csv use."""
        images = (self.step - self.first_step) * self.spec.batch_size
        row = {
            "epoch": self.epochs,
            "step": self.step,
            "train.loss": logs["cross_entropy"],
            "train.accuracy": logs["accuracy"],
            "train.objective": logs["loss"],
        }
        if self.stage.valid is not None:
            row |= self.validation(self.stage.valid)
        return row | {
            "learning_rate": self.learning_rate(),
            "seconds": round(self.epoch_seconds, 3),
            "images_per_second": round(images / self.epoch_seconds, 1),
        }

    def validation(self, valid: Examples) -> Row:
        """The numbers of validation, which all workers have from the chief."""
        numbers = [0.0] * len(METRICS)
        if self.writes:
            numbers = [*evaluate_network(self.stage.network, valid, self.spec.batch_size).values()]
        if self.parallel is not None:
            numbers = self.parallel.from_chief(numbers)
        return {f"valid.{name}": number for name, number in zip(METRICS, numbers, strict=True)}

    def warn_of_skipped_steps(self) -> None:
        """Say so where float16 let most gradients overflow: these steps changed nothing."""
        made, steps = self.updates(), self.step - self.phase_began
        if made < steps / 2:
            self.progress.note(
                f"Warning: {steps - made} of {steps} steps were skipped because their gradients "
                "were not finite in float16. Try precision=mixed_bfloat16, a smaller "
                "optimizer.learning_rate, or smaller loss.class_weights."
            )

    def learning_rate(self) -> float:
        """The rate of the step that was last made."""
        return float(self.stage.rate(max(0, self.updates() - 1)))

    def updates(self) -> int:
        """The updates of this phase: its steps, but for those that float16 made overflow."""
        return int(self.stage.trainee.optimizer.iterations)

    def lasting(self) -> dict[str, list[keras.Variable]]:
        """What Keras remembers beyond a phase: weights, the seeds of dropout, their average."""
        average = [*self.average.variables, self.average.step] if self.average else []
        return {"network": self.variables, "average": average}

    def passing(self) -> dict[str, list[keras.Variable]]:
        """What belongs to a phase: slots, the factor of the rate."""
        optimizer = self.stage.trainee.optimizer.variables
        return {"optimizer": optimizer, "rate": [self.stage.rate.factor]}

    def save(self) -> None:
        """Write the state; a disk that is full costs a state, not the run."""
        if not self.writes:
            return
        self.settle()
        metrics = {"metrics": self.model.metrics_variables}
        arrays = {
            name: variable.numpy()
            for group, variables in (self.lasting() | self.passing() | metrics).items()
            for name, variable in named(group, variables)
        }
        constants = {
            f"normalisation/{k}": v for k, v in get_normalisation_constants(self.network).items()
        }
        arrays |= {name: np.asarray(value, np.float64) for name, value in constants.items()}
        try:
            checkpoint.save_checkpoint(self.run.state, arrays, self.facts())
        except OSError as error:
            why = find_disk_failure(error) or error
            before = any(self.run.state.glob("*.state"))
            stays = "the one before stays" if before else "there is none before it"
            self.progress.note(f"the state could not be written ({why}); {stays}")
        self.saved = time.monotonic()

    def facts(self) -> dict[str, Any]:
        return {
            "decides": self.spec.deciding_values,
            "loop": {name: getattr(self, name) for name in REMEMBERED},
            "best": asdict(self.best),
            "patience": asdict(self.patience),
            "plateau": asdict(self.plateau),
            "tables": {table: self.run.count_table_bytes(table) for table in TABLES},
        }


def named(group: str, variables: list[keras.Variable]) -> list[tuple[str, keras.Variable]]:
    """Variables with the names they have in a state.

    Only paths of the network are the same in every life: a second phase's optimizer is the second
    of its process, `adam_1`, or the first.
    """
    return [
        (f"{group}/{number}/{v.path if group == 'network' else v.name}", v)
        for number, v in enumerate(variables)
    ]


def assign(resumed: Checkpoint, variables: dict[str, list[keras.Variable]]) -> None:
    """Give every variable the value it had in the state."""
    for group, members in variables.items():
        for name, variable in named(group, members):
            array = resumed.arrays.get(name)
            if array is None or array.shape != tuple(variable.shape):
                raise SpecError(
                    f"the state has no {name} of the shape {tuple(variable.shape)}",
                    "the state that training left, of the same versions",
                )
            variable.assign(array)
