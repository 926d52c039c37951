"""What happens while Keras' `fit` runs: after each step a little, after each epoch this list."""

import time
from typing import Protocol

import keras

from cnntrain.datasets.source import Examples
from cnntrain.evaluation import evaluate
from cnntrain.monitor import Monitor, PlateauWatch
from cnntrain.runs import Run
from cnntrain.schedules import Rate
from cnntrain.spec import Spec

Row = dict[str, float]


class Progress(Protocol):
    """Who is told how a run goes on; `console.py` shows it to people."""

    def note(self, line: str) -> None: ...
    def began(self, total_steps: int) -> None: ...
    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None: ...
    def epoch(self, row: Row) -> None: ...


class Loop(keras.callbacks.Callback):
    """Validates, lowers the rate, keeps the best, writes the history and stops, epoch by epoch."""

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
    ):
        super().__init__()
        self.spec, self.run, self.network, self.rate = spec, run, network, rate
        self.valid, self.progress = valid, progress
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        plateau = rate.plateau
        self.best = Monitor(spec.monitor)
        self.patience = Monitor(spec.monitor, spec.early_stopping.min_delta)
        self.plateau = PlateauWatch(
            Monitor("valid.loss", plateau.min_delta), plateau.patience, plateau.cooldown
        )
        self.step = self.epochs = 0  # done so far
        self.seconds = 0.0  # of training steps, without validation and saving
        self.best_row: Row | None = None

    def on_train_begin(self, logs: Row | None = None) -> None:
        self.progress.began(self.total_steps)

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        self.epoch_began, self.first_step = time.perf_counter(), self.step
        self.window = (0, 0.0)  # steps of this epoch already in steps.csv, their summed loss

    def on_train_batch_end(self, batch: int, logs: Row | None = None) -> None:
        assert logs is not None
        self.step += 1
        self.last_step = time.perf_counter()
        done = self.step - self.first_step
        rate = done * self.spec.batch_size / (self.last_step - self.epoch_began)
        if self.step % self.spec.log_every == 0 or self.step == self.total_steps:
            self.log_steps(done, logs["cross_entropy"] * done, rate)
        if self.step == self.total_steps:
            self.model.stop_training = True
        self.progress.step(self.epochs + 1, self.step, rate, logs)

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
        seconds = self.last_step - self.epoch_began
        self.seconds += seconds
        self.epochs += 1
        row = self.row(logs, seconds)
        if self.best.improved(row):
            self.best_row = row
            self.run.save(self.network, self.run.best)
        if self.plateau.falls(row):
            self.rate.reduce()
        self.patience.improved(row)
        patience = self.spec.early_stopping.patience
        if patience is not None and self.patience.waited >= patience:
            self.model.stop_training = True
        self.run.append("history.csv", row)
        self.progress.epoch(row)
        if self.model.stop_training and self.step < self.total_steps:
            self.progress.note(
                f"stopped early: {self.spec.monitor} has not improved for {patience} epochs"
            )

    def row(self, logs: Row, seconds: float) -> Row:
        """An epoch's numbers, under the names that `monitor` and history.csv use."""
        learning_rate = self.learning_rate()
        valid = evaluate(self.network, self.valid, self.spec.batch_size)
        steps = self.step - self.first_step
        return {
            "epoch": self.epochs,
            "step": self.step,
            "train.loss": logs["cross_entropy"],
            "train.accuracy": logs["accuracy"],
            "train.objective": logs["loss"],
            "valid.loss": valid["loss"],
            "valid.accuracy": valid["accuracy"],
            "learning_rate": learning_rate,
            "seconds": round(seconds, 3),
            "images_per_second": round(steps * self.spec.batch_size / seconds, 1),
        }

    def learning_rate(self) -> float:
        """The rate of the step that was last made."""
        return float(self.rate(self.step - 1))
