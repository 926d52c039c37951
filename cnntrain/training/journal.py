"""Where a fit is, the rows of numbers that it writes on its way, and its time."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnntrain.runs.directory import Run
from cnntrain.runs.tables import read_history

Row = dict[str, float]
TABLES = ("history.csv", "steps.csv")
TRAINING_PARTS = ("waiting", "compiling", "evaluation", "writing")  # of what training went to


@dataclass
class Position:
    """How far a fit has come: steps and epochs done, and where the epoch and the phase began."""

    step: int = 0
    epochs: int = 0
    first_step: int = 0
    phase: int = 0
    phase_began: int = 0
    stopped_early: bool = False  # whether patience has ended the phase

    def begin_phase(self, number: int) -> None:
        self.phase, self.phase_began, self.stopped_early = number, self.step, False

    def end_epoch(self) -> None:
        self.epochs, self.first_step = self.epochs + 1, self.step


@dataclass
class Journal:
    """The sums of an epoch that is under way, and the seconds of the run, in all its lives.

    `sums` are of the objectives, cross-entropies and accuracies (3,) of the epoch's steps, the last
    being the share of images that are right, which `hit_metric` names; `logged` are the steps of
    it, and their summed cross-entropy, that steps.csv has. `seconds` are those of finished epochs,
    without validation; `spent` are seconds by what they went to, and `under_way` holds when the
    blocks began that are not over yet.
    """

    run: Run
    batch_size: int
    hit_metric: str = "accuracy"
    sums: list[float] = field(default_factory=lambda: [0.0] * 3)
    count: int = 0
    logged: tuple[int, float] = (0, 0.0)
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)
    under_way: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = {table: self.run.open_table(table) for table in TABLES}

    @contextlib.contextmanager
    def spend(self, kind: str) -> Iterator[None]:
        """Count the seconds of the block as `kind`."""
        self.under_way[kind] = time.perf_counter()
        try:
            yield
        finally:
            self.spent[kind] = self.measure_spent()[kind]
            del self.under_way[kind]

    def measure_spent(self) -> dict[str, float]:
        """Return the seconds by what they went to, with those of blocks that are under way."""
        now = time.perf_counter()
        return self.spent | {
            kind: self.spent.get(kind, 0.0) + now - began for kind, began in self.under_way.items()
        }

    def start_clock(self) -> None:
        """Let the clock of the epoch go on from what earlier lives have spent on it."""
        self.epoch_began = time.perf_counter() - self.epoch_seconds

    def add_steps(self, losses: np.ndarray) -> None:
        """Take in the losses (K, 3) of a block of steps."""
        for row in losses.tolist():  # one by one: how steps are cut into blocks changes no bit
            self.sums = [total + value for total, value in zip(self.sums, row, strict=True)]
        self.count += len(losses)
        self.epoch_seconds = time.perf_counter() - self.epoch_began

    @property
    def cross_entropy(self) -> float:
        """The mean cross-entropy of the epoch so far."""
        return self.sums[1] / self.count

    @property
    def images_per_second(self) -> float:
        """The rate of the epoch so far."""
        return self.count * self.batch_size / self.epoch_seconds

    def write_steps_row(self, step: int, learning_rate: float) -> Row:
        """Write the mean loss of the steps since the last row of steps.csv; return the row."""
        count, total = self.logged
        row = {
            "step": step,
            "train.loss": (self.sums[1] - total) / (self.count - count),
            "learning_rate": learning_rate,
            "images_per_second": round(self.images_per_second, 1),
        }
        self.tables["steps.csv"].append_row(row)
        self.logged = (self.count, self.sums[1])
        return row

    def count_correct(self, since: int) -> tuple[float, int]:
        """Return how many training images were recognised, and of how many.

        They are those of the epochs that ended after the step `since`, and of the present one.
        """
        right, steps, began = self.sums[2], self.count, 0
        for row in read_history(self.run):
            count, began = int(row["step"]) - began, int(row["step"])
            if began > since:
                right += count * row[f"train.{self.hit_metric}"]
                steps += count
        return right * self.batch_size, steps * self.batch_size

    def make_epoch_row(
        self, position: Position, valid: Row, learning_rate: float, l2_loss: float | None
    ) -> Row:
        """Return an epoch's numbers, under the names that `monitor` and history.csv use.

        `l2_loss` is what L2 adds to the loss with the epoch's last weights; None without L2.
        """
        objective, cross_entropy, hits = (total / self.count for total in self.sums)
        return {
            "epoch": position.epochs,
            "step": position.step,
            "train.loss": cross_entropy,
            f"train.{self.hit_metric}": hits,
            "train.objective": objective,
            **({} if l2_loss is None else {"train.l2_loss": l2_loss}),
            **valid,
            "learning_rate": learning_rate,
            "seconds": round(self.epoch_seconds, 3),
            "images_per_second": round(self.images_per_second, 1),
        }

    def end_epoch(self, row: Row) -> None:
        """Write the row of an epoch, and begin with the next one."""
        self.tables["history.csv"].append_row(row)
        self.seconds += self.epoch_seconds
        self.sums, self.count, self.logged, self.epoch_seconds = [0.0] * 3, 0, (0, 0.0), 0.0

    def to_facts(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of the journal."""
        names = ("sums", "count", "logged", "seconds", "epoch_seconds")
        values = {name: getattr(self, name) for name in names} | {"spent": self.measure_spent()}
        tables = {table: self.run.count_table_bytes(table) for table in TABLES}
        return {"journal": values, "tables": tables}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what a checkpoint holds.

        Earlier versions kept Keras' running means, or no seconds of the training as a whole.
        """
        known = facts.get("journal") or restore_running_means(facts["loop"], arrays)
        for name, value in known.items():
            setattr(self, name, value)
        parts = self.seconds + self.epoch_seconds + self.spent.get("evaluation", 0.0)
        self.spent = {"train": parts} | self.spent


def restore_running_means(
    loop: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the values of a journal from a checkpoint of an earlier version."""
    count = loop["step"] - loop["first_step"]
    values = [float(v) for name, v in arrays.items() if name.startswith("metrics/")]
    means = [total / n if n else 0.0 for total, n in zip(values[::2], values[1::2], strict=True)]
    return {
        "sums": [count * mean for mean in means],
        "count": count,
        "logged": loop["window"] if count else (0, 0.0),
        "seconds": loop["seconds"],
        "epoch_seconds": loop["epoch_seconds"] if count else 0.0,
    }


class Stopwatch:
    """Takes the seconds of each part of a run.

    Its first part is `start`, if it is told when that `began`, in seconds since the epoch.
    """

    def __init__(self, began: float | None = None) -> None:
        self.last = time.perf_counter()
        self.seconds = {} if began is None else {"start": round(max(0.0, time.time() - began), 3)}

    def record_lap(self, name: str) -> None:
        """Record the seconds since the last lap, rounded to milliseconds, under `name`."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.last = now

    def sum_up(self, journal: Journal) -> dict[str, float]:
        """Return the seconds of the parts, what those of training went to, and the `total`.

        Those of training are the journal's: of all lives of the run.
        """
        spent = {kind: round(journal.spent.get(kind, 0.0), 3) for kind in TRAINING_PARTS}
        parts = self.seconds | {"train": round(journal.spent["train"], 3)}
        total = round(sum(parts.values()), 3)
        return parts | spent | {"steps": round(journal.seconds, 3), "total": total}
