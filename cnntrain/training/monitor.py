"""Watch one metric over the epochs: its best value, and the epochs since it was reached."""

import math
from dataclasses import dataclass

from cnntrain.spec.metrics import compute_cost


@dataclass
class Monitor:
    """The best value of the metric `name` so far, and the epochs since.

    `tie` names a loss whose lower value decides between equal values: a small validation split has
    few different accuracies, so that the first epoch with the highest one need not be the best.
    """

    name: str
    min_delta: float = 0.0
    tie: str | None = None
    best: float | None = None
    best_tie: float = math.inf
    waited: int = 0  # epochs since the best, or since the plateau's watch set it to 0

    def update_best(self, row: dict[str, float]) -> bool:
        """Take in the metrics of an epoch; return whether it is better than all before it.

        Better is by more than `min_delta`, or an equal value with a lower `tie`. A nan never is,
        nor is an epoch without the metric: one of validation, which may be off.
        """
        value, tie = row.get(self.name, math.nan), row[self.tie] if self.tie else math.inf
        better = not math.isnan(value) and (
            self.best is None
            or compute_cost(self.name, value) < compute_cost(self.name, self.best) - self.min_delta
            or (value == self.best and tie < self.best_tie)
        )
        if better:
            self.best, self.best_tie = value, tie
        self.waited = 0 if better else self.waited + 1
        return better


@dataclass
class PlateauWatch:
    """Decides when a plateau lowers the learning rate, by the rules of Keras' ReduceLROnPlateau."""

    monitor: Monitor
    patience: int | None
    cooldown: int
    cooling: int = 0  # epochs of the cooldown that are left

    def should_reduce(self, row: dict[str, float]) -> bool:
        """Take in the metrics of an epoch; return whether to lower the learning rate now."""
        if self.cooling:
            self.cooling -= 1
            self.monitor.waited = 0
        self.monitor.update_best(row)
        if self.cooling:
            self.monitor.waited = 0
        if self.patience is None or self.monitor.waited < self.patience:
            return False
        self.cooling, self.monitor.waited = self.cooldown, 0
        return True
