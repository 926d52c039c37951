"""What a fit decides after each epoch, from validation; a refit, which has none, repeats it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cnntrain.data.image_sizes import SizeSpan
from cnntrain.spec.metrics import choose_tie_breaker
from cnntrain.spec.spec import Spec
from cnntrain.training.journal import Row
from cnntrain.training.monitor import Monitor, PlateauWatch
from cnntrain.training.schedules import Plateau


@dataclass(frozen=True)
class Replay:
    """What a fit decided: `reductions` are the epochs after which the plateau lowered the rate.

    `sizes` are those of its images; without any they are planned anew.
    """

    epochs: int
    planned_epochs: int  # for which its rates were planned
    phases: Sequence[int] = (0,)  # the epochs before each phase
    reductions: Sequence[int] = ()
    sizes: tuple[SizeSpan, ...] = ()


class Watching:
    """Watches the epochs of a fit; a checkpoint holds what it has seen."""

    def __init__(self, spec: Spec):
        self.spec = spec
        self.best = Monitor(spec.monitor, tie=choose_tie_breaker(spec.monitor))
        self.best_row: Row | None = None
        self.phases, self.reductions = [0], list[int]()  # these two are for a Replay
        self.reset_monitors(Plateau(**spec.schedule["plateau"]))

    def reset_monitors(self, plateau: Plateau) -> None:
        """Forget what patience and the plateau have seen: each phase watches for itself."""
        self.patience = Monitor(self.spec.monitor, self.spec.early_stopping.min_delta)
        self.plateau = PlateauWatch(
            Monitor("valid.loss", plateau.min_delta), plateau.patience, plateau.cooldown
        )

    def begin_phase(self, epochs: int, plateau: Plateau) -> None:
        """Begin a further phase, after so many epochs, with the plateau of its schedule."""
        self.phases.append(epochs)
        self.reset_monitors(plateau)

    def find_phase_end(self, phase: int, planned: int, steps_per_epoch: int) -> int:
        """Return the step with which a phase ends, unless it stops early."""
        return planned

    def count_steps(self, planned: int, steps_per_epoch: int) -> int:
        """Return the steps of all phases together, unless one stops early."""
        return planned

    def is_best(self, row: Row) -> bool:
        """Take in an epoch; return whether it is the best so far.

        Where `monitor` is of validation and there is none, that is always the last one.
        """
        if self.best.name in row and not self.best.update_best(row):
            return False
        self.best_row = row
        return True

    def should_reduce(self, row: Row) -> bool:
        """Take in an epoch; return whether the plateau lowers the rate after it."""
        reduces = self.plateau.should_reduce(row)
        self.reductions += [int(row["epoch"])] * reduces
        return reduces

    def should_stop(self, row: Row) -> bool:
        """Take in an epoch; return whether patience is at its end."""
        self.patience.update_best(row)
        patience = self.spec.early_stopping.patience
        return patience is not None and self.patience.waited >= patience

    def to_facts(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of the decisions."""
        return {
            "best": asdict(self.best),
            "patience": asdict(self.patience),
            "plateau": asdict(self.plateau),
            "decided": {
                "best_row": self.best_row, "phases": self.phases, "reductions": self.reductions
            },
        }  # fmt: skip

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take over what a checkpoint holds; earlier versions had the decisions in `loop`."""
        loop = facts["loop"]
        decided = facts.get("decided") or loop | {"reductions": loop["fell"]}
        self.best_row, self.phases = decided["best_row"], [*decided["phases"]]
        self.reductions = [*decided["reductions"]]
        self.best, self.patience = Monitor(**facts["best"]), Monitor(**facts["patience"])
        watch = facts["plateau"]
        self.plateau = PlateauWatch(**watch | {"monitor": Monitor(**watch["monitor"])})


class Replaying(Watching):
    """Repeats the decisions of another fit, and watches nothing."""

    def __init__(self, spec: Spec, replay: Replay):
        super().__init__(spec)
        self.replay = replay

    def find_phase_end(self, phase: int, planned: int, steps_per_epoch: int) -> int:
        later = [*self.replay.phases[phase + 1 :], self.replay.epochs]
        return min(later[0], self.replay.epochs) * steps_per_epoch

    def count_steps(self, planned: int, steps_per_epoch: int) -> int:
        return self.replay.epochs * steps_per_epoch

    def is_best(self, row: Row) -> bool:
        return False

    def should_reduce(self, row: Row) -> bool:
        return row["epoch"] in self.replay.reductions

    def should_stop(self, row: Row) -> bool:
        return False
