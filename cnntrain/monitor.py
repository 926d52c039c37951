"""Watching one number of an epoch: is it the best so far, and for how long has it not been?"""

from dataclasses import dataclass


@dataclass
class Monitor:
    """The best value of `name` so far, and the epochs since; accuracies rise, losses fall."""

    name: str
    min_delta: float = 0.0
    best: float | None = None
    waited: int = 0

    def improved(self, row: dict[str, float]) -> bool:
        """Take in an epoch's row; return whether it is better than all before by min_delta.

        A nan is never better.
        """
        sign = 1 if self.name.endswith("accuracy") else -1
        value = sign * row[self.name]
        better = value == value and (self.best is None or value > sign * self.best + self.min_delta)
        if better:
            self.best = row[self.name]
        self.waited = 0 if better else self.waited + 1
        return better


@dataclass
class PlateauWatch:
    """ReduceLROnPlateau: whether the rate should fall after this epoch (Keras' rules)."""

    monitor: Monitor
    patience: int | None
    cooldown: int
    cooling: int = 0

    def falls(self, row: dict[str, float]) -> bool:
        """Take in an epoch's row; return whether the rate should fall now."""
        if self.cooling:
            self.cooling -= 1
            self.monitor.waited = 0
        self.monitor.improved(row)
        if self.cooling:
            self.monitor.waited = 0
        if self.patience is None or self.monitor.waited < self.patience:
            return False
        self.cooling, self.monitor.waited = self.cooldown, 0
        return True
