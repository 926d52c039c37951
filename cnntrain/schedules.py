"""Learning rates: rate = base x curve(step) x warm-up x plateau factor.

A curve is a function of the step; every option has warm-up and ReduceLROnPlateau beside it, which
compose instead of overwriting each other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import ops

from cnntrain.errors import SpecError
from cnntrain.knobs import (
    Count,
    Duration,
    Factor,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    steps_in,
)


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """ReduceLROnPlateau: multiply the rate by `factor` after `patience` epochs without a better
    validation loss (null: never), then wait for `cooldown` epochs; the product stays at `min_lr`.
    """

    patience: Count | None
    factor: Factor
    cooldown: Natural
    min_delta: NonNegative
    min_lr: NonNegative


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of each step, computed inside the training step's graph.

    `base` is the optimizer's learning rate, set by it; `factor` is what the plateau has made of it.
    """

    def __init__(
        self,
        curve: Callable[[keras.KerasTensor], keras.KerasTensor],
        total_steps: int,
        warmup_steps: int,
        plateau: Plateau,
    ):
        self.base = 1.0
        self.curve, self.total_steps = curve, total_steps
        self.warmup_steps, self.plateau = warmup_steps, plateau
        self.factor = keras.Variable(1.0, trainable=False, dtype="float32", name="plateau_factor")

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """Return the rate (a float32 scalar) of `step`, counted from 0.

        Beyond the steps that the curve was planned for, the last rate stays.
        """
        step = ops.minimum(step, self.total_steps - 1)
        planned = self.base * ops.cast(self.curve(step), "float32")
        if self.warmup_steps:
            done = (ops.cast(step, "float32") + 1) / self.warmup_steps
            planned = planned * ops.minimum(done, 1.0)
        lowest = ops.minimum(planned, self.plateau.min_lr)  # min_lr never raises a rate
        return ops.maximum(planned * self.factor, lowest)

    def reduce(self) -> None:
        """Let the rate fall: the plateau's doing."""
        self.factor.assign(self.factor * self.plateau.factor)


def schedule(
    component: Callable[..., keras.KerasTensor],
    steps_per_epoch: int,
    total_steps: int,
    *,
    warmup: Duration,
    plateau: Plateau,
    stretch: bool,
) -> Rate:
    """Return the rate of a run, its base still 1; `warmup` rises linearly to the curve.

    `stretch` is for the trainer: whether a resumed run of more epochs plans its curve anew.
    Raises SpecError for a warm-up that is longer than the run.
    """
    warmup_steps = steps_in(warmup, steps_per_epoch, total_steps)
    if warmup_steps > total_steps:
        raise SpecError(
            f"schedule.warmup is {warmup}: {warmup_steps} steps of a run of {total_steps}",
            "a warm-up within the run",
            "schedule.warmup=5%",
        )
    return Rate(
        lambda step: component(step, steps_per_epoch, total_steps),
        total_steps,
        warmup_steps,
        plateau,
    )


def constant(step: keras.KerasTensor, steps_per_epoch: int, total_steps: int) -> keras.KerasTensor:
    """1 throughout."""
    return ops.ones((), "float32")


def step(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    milestones: list[Duration],
    factor: Factor,
) -> keras.KerasTensor:
    """Times `factor` at each milestone."""
    at = [steps_in(milestone, steps_per_epoch, total_steps) for milestone in milestones]
    passed = sum((ops.cast(step >= milestone, "float32") for milestone in at), 0.0)
    return ops.power(factor, passed)


def resnet_step(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    after_epochs: list[Count],
    factors: list[Positive],
) -> keras.KerasTensor:
    """`factors[i]` in epochs, counted from 0, above `after_epochs[i]` (Keras' ResNet example)."""
    epoch = step // steps_per_epoch
    value = ops.ones((), "float32")
    for boundary, factor in zip(after_epochs, factors, strict=True):
        value = ops.where(epoch > boundary, factor, value)
    return value


def cosine(
    step: keras.KerasTensor, steps_per_epoch: int, total_steps: int, *, final: Fraction
) -> keras.KerasTensor:
    """Half a cosine from 1 down to `final` (Loshchilov & Hutter 2016, arXiv:1608.03983)."""
    progress = ops.minimum(ops.cast(step, "float32") / total_steps, 1.0)
    return final + (1 - final) * 0.5 * (1 + ops.cos(math.pi * progress))
