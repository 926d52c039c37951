"""What happens while Keras' `fit` runs: after each step a little, after each epoch this list.

All that a resumed run must know is here or in Keras' variables, and goes into the state together.
"""

import math
import time
from dataclasses import asdict
from typing import Any, Protocol

import keras

from cnntrain import state
from cnntrain.datasets.source import Examples
from cnntrain.errors import Diverged
from cnntrain.evaluation import evaluate
from cnntrain.monitor import Monitor, PlateauWatch
from cnntrain.runs import Run
from cnntrain.schedules import Rate
from cnntrain.signals import Signals
from cnntrain.spec import Spec
from cnntrain.state import State

Row = dict[str, float]
TABLES = ("history.csv", "steps.csv")


class Progress(Protocol):
    """Who is told how a run goes on; `console.py` shows it to people."""

    def note(self, line: str) -> None: ...
    def began(self, done: int, total_steps: int, steps_per_epoch: int) -> None: ...
    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None: ...
    def epoch(self, row: Row) -> None: ...


class Loop(keras.callbacks.Callback):
    """Validates, lowers the rate, keeps the best, writes the history and the state, and stops."""

    def __init__(
        self,
        spec: Spec,
        run: Run,
        network: keras.Model,
        rate: Rate,
        valid: Examples,
        steps_per_epoch: int,
        total_steps: int,
        progress: Progress,
        resumed: State | None = None,
    ):
        super().__init__()
        self.spec, self.run, self.network, self.rate = spec, run, network, rate
        self.valid, self.progress, self.resumed = valid, progress, resumed
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        plateau = rate.plateau
        self.best = Monitor(spec.monitor, tie=spec.monitor.replace("accuracy", "loss"))
        self.patience = Monitor(spec.monitor, spec.early_stopping.min_delta)
        self.plateau = PlateauWatch(
            Monitor("valid.loss", plateau.min_delta), plateau.patience, plateau.cooldown
        )
        self.step = self.epochs = 0  # done so far
        self.stopped_early = False
        self.seconds = 0.0  # of training steps, without validation and saving
        self.epoch_seconds = 0.0  # of this epoch, in the lives before this one
        self.window = (0, 0.0)  # steps of this epoch already in steps.csv, their summed loss
        self.best_row: Row | None = None
        self.signals = Signals()

    def on_train_begin(self, logs: Row | None = None) -> None:
        for table in TABLES:
            self.run.shorten(table, self.resumed.facts["tables"][table] if self.resumed else 0)
        if self.resumed:
            self.restore(self.resumed)
        self.progress.began(self.step, self.total_steps, self.steps_per_epoch)
        self.saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        self.first_step = self.epochs * self.steps_per_epoch
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
        over = done == self.steps_per_epoch or self.step == self.total_steps
        if not math.isfinite(logs["loss"]):
            raise Diverged(self.step, self.epochs + 1)
        if self.step % self.spec.log_every == 0 or over:
            self.log_steps(done, logs["cross_entropy"] * done, rate)
        self.progress.step(self.epochs + 1, self.step, rate, logs)
        if over:
            self.model.stop_training = True  # for Keras a resumed epoch would not be over yet
        elif self.is_due() or self.signals.received:
            self.save()
            self.signals.leave()

    def is_due(self) -> bool:
        """Whether the settings want a state within the epoch now."""
        steps, minutes = self.spec.checkpoint.every_steps, self.spec.checkpoint.every_minutes
        return (steps is not None and self.step % steps == 0) or (
            minutes is not None and time.monotonic() - self.saved >= 60 * minutes
        )

    def log_steps(self, done: int, summed: float, images_per_second: float) -> None:
        """Write the mean loss of the steps since the last row, which running means contain."""
        before, summed_before = self.window
        row = {
            "step": self.step,
            "train.loss": (summed - summed_before) / (done - before),
            "learning_rate": self.learning_rate(),
            "images_per_second": round(images_per_second, 1),
        }
        self.run.append("steps.csv", row)
        self.window = (done, summed)

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        assert logs is not None
        self.seconds += self.epoch_seconds
        self.epochs += 1
        row = self.row(logs)
        if self.best.improved(row):
            self.best_row = row
            self.run.save(self.network, self.run.best)
        if self.plateau.falls(row):
            self.rate.reduce()
        self.patience.improved(row)
        self.run.append("history.csv", row)
        self.progress.epoch(row)
        self.stopped_early = self.step < self.total_steps and self.has_waited()
        self.model.stop_training = self.stopped_early or self.step == self.total_steps
        self.save()
        self.signals.leave()

    def has_waited(self) -> bool:
        """Whether early stopping's patience is at its end; says so."""
        patience = self.spec.early_stopping.patience
        if patience is None or self.patience.waited < patience:
            return False
        self.progress.note(
            f"stopped early: {self.spec.monitor} has not improved for {patience} epochs"
        )
        return True

    def row(self, logs: Row) -> Row:
        """An epoch's numbers, under the names that `monitor` and history.csv use."""
        valid = evaluate(self.network, self.valid, self.spec.batch_size)
        images = (self.step - self.first_step) * self.spec.batch_size
        return {
            "epoch": self.epochs,
            "step": self.step,
            "train.loss": logs["cross_entropy"],
            "train.accuracy": logs["accuracy"],
            "train.objective": logs["loss"],
            "valid.loss": valid["loss"],
            "valid.accuracy": valid["accuracy"],
            "learning_rate": self.learning_rate(),
            "seconds": round(self.epoch_seconds, 3),
            "images_per_second": round(images / self.epoch_seconds, 1),
        }

    def learning_rate(self) -> float:
        """The rate of the step that was last made."""
        return float(self.rate(self.step - 1))

    def variables(self) -> dict[str, list[keras.Variable]]:
        """All that Keras remembers: weights and the seeds of dropout, slots, running means."""
        return {
            "network": self.network.variables,
            "optimizer": self.model.optimizer.variables,
            "metrics": self.model.metrics_variables,
            "rate": [self.rate.factor],
        }

    def save(self) -> None:
        """Write the state; a disk that is full costs a state, not the run."""
        arrays = {
            name: variable.numpy()
            for group, variables in self.variables().items()
            for name, variable in named(group, variables)
        }
        try:
            state.save(self.run.state, arrays, self.facts())
        except OSError as error:
            self.progress.note(f"the state could not be written ({error}); the one before stays")
        self.saved = time.monotonic()

    def facts(self) -> dict[str, Any]:
        return {
            "decides": self.spec.decides,
            "planned_steps": self.rate.total_steps,
            "step": self.step,
            "epochs": self.epochs,
            "stopped_early": self.stopped_early,
            "seconds": self.seconds,
            "epoch_seconds": self.epoch_seconds,
            "window": self.window,
            "best_row": self.best_row,
            "best": asdict(self.best),
            "patience": asdict(self.patience),
            "plateau": asdict(self.plateau),
            "tables": {table: self.run.length(table) for table in TABLES},
        }

    def restore(self, resumed: State) -> None:
        """Become the loop that wrote the state; the metrics follow when the epoch begins."""
        assign(resumed, {k: v for k, v in self.variables().items() if k != "metrics"})
        facts = resumed.facts
        for name in ("step", "epochs", "stopped_early", "seconds", "epoch_seconds", "best_row"):
            setattr(self, name, facts[name])
        self.window = tuple(facts["window"])
        self.best, self.patience = Monitor(**facts["best"]), Monitor(**facts["patience"])
        watch = dict(facts["plateau"])
        self.plateau = PlateauWatch(**watch | {"monitor": Monitor(**watch["monitor"])})


def named(group: str, variables: list[keras.Variable]) -> list[tuple[str, keras.Variable]]:
    """Variables with the names they have in a state."""
    return [(f"{group}/{number}/{v.path}", v) for number, v in enumerate(variables)]


def assign(resumed: State, variables: dict[str, list[keras.Variable]]) -> None:
    """Give every variable the value it had in the state."""
    for group, members in variables.items():
        for name, variable in named(group, members):
            variable.assign(resumed.arrays[name])
