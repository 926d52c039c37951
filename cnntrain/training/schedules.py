"""Learning rates: rate = base x curve(step) x warm-up x plateau factor.

A component is a curve: it takes a step, counted from 0, and returns the factor of that step as a
scalar. `total_steps` are those of a phase, because each phase has a curve of its own. Every option
has warm-up and ReduceLROnPlateau beside it, which multiply the curve instead of replacing it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import ops

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import (
    Count,
    Duration,
    Factor,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    count_steps,
)


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """ReduceLROnPlateau: multiply the rate by `factor` after `patience` epochs without a better
    validation loss (null: never), then wait for `cooldown` epochs. It does not lower a rate
    below `min_lr`.
    """

    patience: Count | None
    factor: Factor
    cooldown: Natural
    min_delta: NonNegative
    min_lr: NonNegative


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of each step, computed inside the training step's graph.

    `base` is the learning rate that the curve multiplies; `factor` is the product of all
    reductions by the plateau.
    """

    def __init__(
        self,
        base: float,
        curve: Callable[[keras.KerasTensor], keras.KerasTensor],
        total_steps: int,
        warmup_steps: int,
        plateau: Plateau,
    ):
        self.base = base
        self.curve, self.total_steps = curve, total_steps
        self.warmup_steps, self.plateau = warmup_steps, plateau
        self.factor = keras.Variable(1.0, trainable=False, dtype="float32", name="plateau_factor")

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """Return the rate (a float32 scalar) of `step`, counted from 0.

        After the last step that the curve was planned for, its rate stays.
        """
        step = ops.minimum(step, self.total_steps - 1)
        planned = self.base * ops.cast(self.curve(step), "float32")
        if self.warmup_steps:
            done = (ops.cast(step, "float32") + 1) / self.warmup_steps
            planned = planned * ops.minimum(done, 1.0)
        lowest = ops.minimum(planned, self.plateau.min_lr)  # min_lr never raises a rate
        return ops.maximum(planned * self.factor, lowest)

    def reduce(self) -> None:
        """Multiply the rate by the plateau's factor from now on."""
        self.factor.assign(self.factor * self.plateau.factor)


# The steps of an epoch, and of a phase, with a base rate before them -> the rate of the phase.
Schedule = Callable[[float, int, int], Rate]


def schedule(
    component: Callable[..., keras.KerasTensor],
    base: float,
    steps_per_epoch: int,
    total_steps: int,
    *,
    warmup: Duration,
    plateau: Plateau,
) -> Rate:
    """Return the learning rate of a phase; `warmup` rises linearly to the curve.

    Raises SpecError for a warm-up that is longer than the phase, and for what the curve refuses.
    """
    warmup_steps = count_steps(warmup, steps_per_epoch, total_steps)
    if warmup_steps > total_steps:
        raise SpecError(
            f"schedule.warmup is {warmup}: {warmup_steps} steps of a phase of {total_steps}",
            "a warm-up within the phase",
            "schedule.warmup=5%",
        )
    rate = Rate(
        base,
        lambda step: component(step, steps_per_epoch, total_steps),
        total_steps,
        warmup_steps,
        plateau,
    )
    rate(0)  # a curve that refuses its settings must do so here, and not inside the graph
    return rate


def constant(step: keras.KerasTensor, steps_per_epoch: int, total_steps: int) -> keras.KerasTensor:
    """Return 1 for every step."""
    return ops.ones((), "float32")


def step(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    milestones: list[Duration],
    factor: Factor,
) -> keras.KerasTensor:
    """Return 1 until the first milestone, multiplied by `factor` at each milestone."""
    starts = [count_steps(milestone, steps_per_epoch, total_steps) for milestone in milestones]
    passed = sum((ops.cast(step >= start, "float32") for start in starts), 0.0)
    return ops.power(factor, passed)


def resnet_step(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    after_epochs: list[Count],
    factors: list[Positive],
) -> keras.KerasTensor:
    """Return `factors[i]` for the last `i` with epoch > `after_epochs[i]`, else 1.

    Epochs are counted from 0. This is the schedule of Keras' ResNet example.
    """
    epoch = step // steps_per_epoch
    value = ops.ones((), "float32")
    for boundary, factor in zip(after_epochs, factors, strict=True):
        value = ops.where(epoch > boundary, factor, value)
    return value


def exponential(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    factor: Factor,
    every: Duration,
    staircase: bool,
) -> keras.KerasTensor:
    """Return `factor` ** (steps passed / steps of a period of `every`).

    With `staircase` only whole periods count, otherwise also parts of them.
    """
    every_steps = _count_period_steps(every, steps_per_epoch, total_steps)
    return ops.power(factor, _count_periods(step, every_steps, staircase))


def inverse_time(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    decay: NonNegative,
    every: Duration,
    staircase: bool,
) -> keras.KerasTensor:
    """Return 1 / (1 + decay x periods) for the periods of `every` that have passed.

    With `staircase` only whole periods count, otherwise also parts of them.
    """
    every_steps = _count_period_steps(every, steps_per_epoch, total_steps)
    return 1 / (1 + decay * _count_periods(step, every_steps, staircase))


def polynomial(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    power: Positive,
    final: Fraction,
) -> keras.KerasTensor:
    """Return a value that falls from 1 to `final` with the `power` of what is left of the phase."""
    return final + (1 - final) * ops.power(1 - _compute_progress(step, 0, total_steps), power)


def cosine(
    step: keras.KerasTensor, steps_per_epoch: int, total_steps: int, *, final: Fraction
) -> keras.KerasTensor:
    """Return half a cosine from 1 down to `final` (Loshchilov & Hutter 2016, arXiv:1608.03983)."""
    return _anneal_by_cosine(1, final, _compute_progress(step, 0, total_steps))


def one_cycle(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    start: Fraction,
    peak: Duration,
    final: Fraction,
) -> keras.KerasTensor:
    """Return half a cosine from `start` up to 1 at `peak`, and another one down to `final`.

    See Smith 2018, arXiv:1803.09820.
    """
    top = _find_peak_step(peak, steps_per_epoch, total_steps)
    rise = _anneal_by_cosine(start, 1, _compute_progress(step, 0, top))
    fall = _anneal_by_cosine(1, final, _compute_progress(step, top, total_steps))
    return ops.where(step < top, rise, fall)


def triangular(
    step: keras.KerasTensor,
    steps_per_epoch: int,
    total_steps: int,
    *,
    start: Fraction,
    peak: Duration,
    final: Fraction,
) -> keras.KerasTensor:
    """Return a line from `start` up to 1 at `peak`, and another one down to `final`.

    See Smith 2017, arXiv:1506.01186.
    """
    top = _find_peak_step(peak, steps_per_epoch, total_steps)
    rise = start + (1 - start) * _compute_progress(step, 0, top)
    fall = 1 + (final - 1) * _compute_progress(step, top, total_steps)
    return ops.where(step < top, rise, fall)


def _compute_progress(step: keras.KerasTensor, begin: int, end: int) -> keras.KerasTensor:
    """Return 0 until the step `begin`, 1 from the step `end`, and a line between them."""
    return ops.clip(ops.cast(step - begin, "float32") / (end - begin), 0.0, 1.0)


def _anneal_by_cosine(begin: float, end: float, progress: keras.KerasTensor) -> keras.KerasTensor:
    return end + (begin - end) * 0.5 * (1 + ops.cos(math.pi * progress))


def _count_periods(step: keras.KerasTensor, every_steps: int, staircase: bool) -> keras.KerasTensor:
    """Return the periods that have passed; whole ones are counted in integers, to be exact."""
    if staircase:
        return ops.cast(step // every_steps, "float32")
    return ops.cast(step, "float32") / every_steps


def _count_period_steps(every: Duration, steps_per_epoch: int, total_steps: int) -> int:
    """Return the steps of a period; raise SpecError if it is shorter than one step."""
    every_steps = count_steps(every, steps_per_epoch, total_steps)
    if every_steps < 1:
        raise SpecError(
            f"schedule.every is {every}: 0 steps of a phase of {total_steps}",
            "one step or more",
            "schedule.every=1",
        )
    return every_steps


def _find_peak_step(peak: Duration, steps_per_epoch: int, total_steps: int) -> int:
    """Return the step of the peak; raise SpecError if it leaves no steps on one side."""
    top = count_steps(peak, steps_per_epoch, total_steps)
    if not 0 < top < total_steps:
        raise SpecError(
            f"schedule.peak is {peak}: step {top} of a phase of {total_steps}",
            "a peak after the first step and before the end of the phase",
            "schedule.peak=30%" if total_steps > 1 else "a longer run",
        )
    return top
