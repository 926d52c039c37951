"""`plan --find-rate`: the learning rate at which a network learns fastest, from a short trial.

The trial is the learning rate range test of Smith (2017, arXiv:1506.01186, section 3.3), with rates
that grow exponentially, as in fastai. It trains the network of the spec on the batches of the spec,
so that its curve is a function of the spec. Nothing of it is kept.
"""

import contextlib
import dataclasses
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from cnntrain.data.load import load_splits
from cnntrain.data.steps import plan_steps, shrink_batch_size
from cnntrain.errors import SpecError
from cnntrain.planning.text_chart import draw_text_chart
from cnntrain.runs.directory import claim_temporary_run
from cnntrain.spec.spec import Spec
from cnntrain.training.fit import Fit, prepare_fit
from cnntrain.training.loop import SilentProgress
from cnntrain.training.schedules import Plateau, Rate
from cnntrain.training.trainer import load_initial_weights

LOWEST, HIGHEST = 1e-6, 10.0  # rates
STEPS_PER_DECADE = 20
TRIAL_STEPS = round(STEPS_PER_DECADE * math.log10(HIGHEST / LOWEST)) + 1
FEWEST_STEPS = 30
SMOOTHING = 0.8  # of the mean loss: each step before counts so much less
DIVERGED = 4.0  # times the lowest loss, and above the first: the trial ends
# The suggestion is so many times below the rate of the lowest loss. LeNet-5 on digits had that by
# Adam, SGD and RMSprop at 0.028, 0.028 and 0.007; of eight rates the best after ten epochs were
# 0.01, 0.03 and 0.01: 99.2, 96.1 and 97.8 %. A tenth, which is common, gave SGD 88.6 %.
SAFETY = 3.0
LEARNT = 0.95  # of the first loss; a network whose loss has not fallen below has learnt nothing
NO_PLATEAU = Plateau(patience=None, factor=0.5, cooldown=0, min_delta=0.0, min_lr=0.0)


@dataclass(frozen=True)
class RateCurve:
    """The loss of each step of a trial, at its learning rate, and smoothed over the steps before.

    `diverged` says whether losses ended the trial before its last step.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    smoothed: Sequence[float]
    diverged: bool


@dataclass(frozen=True)
class RateSuggestion:
    """A learning rate, None where the loss fell at no rate, and the reason."""

    rate: float | None
    reason: str


def find_rate_curve(spec: Spec, config: dict[str, Any]) -> RateCurve:
    """Return the losses of a trial of a spec's first phase, at rates from LOWEST to HIGHEST.

    `max_steps` cuts the trial: fewer steps cover the same rates. Raises SpecError for what a run
    refuses before its first step, and for a trial of too few steps.
    """
    steps = min(TRIAL_STEPS, spec.max_steps or TRIAL_STEPS)
    if steps < FEWEST_STEPS:
        raise SpecError(
            f"max_steps is {spec.max_steps}", f"{FEWEST_STEPS} steps or more for a trial of rates"
        )
    splits = dataclasses.replace(load_splits(spec), valid=None)
    short_spec = shrink_batch_size(spec, len(splits.train), 1)[0]
    per_epoch = plan_steps(short_spec, splits.train)[0]
    head_epochs = spec.finetune.knobs.get("head_epochs", 0)
    short_spec = dataclasses.replace(
        short_spec,
        max_steps=None,
        epochs=head_epochs + math.ceil(steps / per_epoch),
        refit=False,
        image_sizes=None,
        steps_per_block=1,
    )
    with claim_temporary_run(config) as run:
        source = load_initial_weights(spec, run)
        fit = prepare_fit(short_spec, run, splits, SilentProgress(), source=source)
        phase = dataclasses.replace(fit.phases[0], epochs=None)
        rate = Rate(1.0, lambda step: compute_trial_rate(step, steps), steps, 0, NO_PLATEAU)
        trial = dataclasses.replace(fit, phases=[phase], rates=[rate])
        with contextlib.closing(iterate_losses(trial, steps)) as pairs:
            return record_curve(pairs, steps)


def compute_trial_rate(step: Any, steps: int) -> Any:
    """Return the learning rate of a step, counted from 0, of a trial of so many steps."""
    part = ops.cast(step, "float32") / (steps - 1)
    return LOWEST * ops.power(HIGHEST / LOWEST, part)


def iterate_losses(fit: Fit, steps: int) -> Generator[tuple[float, float], None, None]:
    """Yield the learning rate and the cross-entropy of each step of a fit's first phase."""
    for phase in fit.prepare_phase(0, steps):
        spans = ((step, 1) for step in range(steps))
        with contextlib.closing(phase.stream_blocks(spans)) as blocks:
            for block in blocks:
                losses, _, rate = phase.step.run_block(block.arrays)
                yield float(rate), float(np.asarray(losses)[0, 1])


def record_curve(pairs: Iterable[tuple[float, float]], steps: int) -> RateCurve:
    """Return the curve of pairs (rate, loss), until they end or the loss diverges.

    The smoothed loss is an exponential mean without the bias of its beginning, as in Adam.
    """
    rates, losses, smoothed, mean = list[float](), list[float](), list[float](), 0.0
    for rate, loss in pairs:
        if not math.isfinite(loss):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        rates.append(rate)
        losses.append(loss)
        smoothed.append(mean / (1 - SMOOTHING ** len(rates)))
        if smoothed[-1] > max(DIVERGED * min(smoothed), smoothed[0]):
            break
    return RateCurve(rates, losses, smoothed, len(rates) < steps)


def suggest_rate(curve: RateCurve) -> RateSuggestion:
    """Return the rate of the lowest smoothed loss divided by SAFETY, rounded to two digits.

    At the lowest loss the rate is already about too high, and a run has to stand its rate for
    longer than a step.
    """
    if not curve.rates:
        return RateSuggestion(None, f"the loss is not finite at any rate from {LOWEST:g} on")
    lowest = int(np.argmin(curve.smoothed))
    rate, loss, first = curve.rates[lowest], curve.smoothed[lowest], curve.smoothed[0]
    beyond = "diverges" if curve.diverged else "rises"
    if loss > LEARNT * first:
        return RateSuggestion(
            None, f"the loss is {first:.3g} at first and falls at no rate: look at data and network"
        )
    return RateSuggestion(
        float(f"{rate / SAFETY:.1e}"),
        f"the loss falls from {first:.3g} to {loss:.3g} at a rate of {rate:.2g}, and {beyond} "
        f"beyond; a run stands about a third of that rate",
    )


def format_rate_lines(curve: RateCurve, suggestion: RateSuggestion, planned: float) -> list[str]:
    """Return the curve as a text chart, and what to do; `planned` is the rate of the spec."""
    lines = []
    if curve.rates:
        top = DIVERGED / 2 * curve.smoothed[0]  # a loss that diverges would flatten all others
        points = [(step, min(loss, top)) for step, loss in enumerate(curve.smoothed)]
        axis = ("rate", f"{curve.rates[0]:.0e}", f"{curve.rates[-1]:.1e}")
        lines += [
            f"smoothed loss of {len(curve.rates)} steps, each at a higher learning rate"
            + (" (ended where it diverged)" if curve.diverged else ""),
            draw_text_chart(points, len(points), axis),
        ]
    if suggestion.rate is None:
        return [*lines, f"no suggestion: {suggestion.reason}"]
    return [
        *lines,
        f"suggestion     {suggestion.rate:g} (the spec has {planned:g}): {suggestion.reason}",
        f"use it         optimizer.learning_rate={suggestion.rate:g}",
    ]


def build_rate_json(curve: RateCurve, suggestion: RateSuggestion, planned: float) -> dict[str, Any]:
    """Return the curve and the suggestion as JSON can hold them."""
    columns = zip(curve.rates, curve.losses, curve.smoothed, strict=True)
    return {
        "curve": [{"learning_rate": r, "loss": loss, "smoothed": s} for r, loss, s in columns],
        "diverged": curve.diverged,
        "suggestion": suggestion.rate,
        "reason": suggestion.reason,
        "learning_rate": planned,
    }
