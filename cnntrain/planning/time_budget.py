"""`minutes`: a budget of time, turned into epochs by real steps that are measured beforehand.

What a run takes beside its epochs counts too: photos to decode, features to compute once, the test
images, the page. A tenth of the budget is left for what cannot be foreseen.
"""

import contextlib
import itertools
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnntrain.data.image_sizes import compute_pixel_share
from cnntrain.data.photos.decode import decode_chosen_photos
from cnntrain.errors import SpecError
from cnntrain.planning.benchmark import EnoughSteps, measure_forward_pass, prepare_short_fit
from cnntrain.planning.input_rate import measure_input
from cnntrain.planning.plan import Plan, plan_run
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_duration
from cnntrain.training.journal import Row
from cnntrain.training.loop import SilentProgress

MARGIN = 0.9  # of the budget is planned
MEASURING_SHARE = 0.1  # of the budget may be spent on measuring a phase
PAGE_SECONDS = 5.0  # the page of a run, its pictures and predictions
SHORT_EPOCH = 5  # steps of an epoch that is measured
MAX_SHORT_EPOCHS = 8
MEASURED_PHOTOS = 64  # that are decoded to see how long all take


class EpochTimer(SilentProgress):
    """A `Progress` that keeps when each step of which epoch ended; it ends a fit in time."""

    def __init__(self, max_seconds: float):
        self.began, self.max_seconds = time.perf_counter(), max_seconds
        self.steps: list[tuple[int, float]] = []  # (epoch, time)

    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None:
        """Take the time of a step; raise EnoughSteps after the third epoch or later, in time."""
        now = time.perf_counter()
        self.steps.append((epoch, now))
        is_long = now - self.began > self.max_seconds
        if epoch > MAX_SHORT_EPOCHS or (epoch > 2 and is_long):
            raise EnoughSteps

    @property
    def start_seconds(self) -> float:
        """The seconds from the beginning until the first step, which compiles, was done."""
        return self.steps[0][1] - self.began

    @property
    def step_seconds(self) -> float:
        """The median seconds of a step that follows another one of its epoch."""
        return statistics.median(self.list_spans(0) or self.list_spans(1))

    @property
    def end_seconds(self) -> float:
        """The median seconds that the end of an epoch takes: saving, mostly."""
        return max(0.0, statistics.median(self.list_spans(1)) - self.step_seconds)

    def list_spans(self, epochs: int) -> list[float]:
        """Return the seconds between steps that are `epochs` apart, from the second step on."""
        pairs = itertools.pairwise(self.steps[1:])
        return [after[1] - before[1] for before, after in pairs if after[0] - before[0] == epochs]


@dataclass(frozen=True)
class PhaseTime:
    """What a phase takes: seconds before its first step, of a step, and of an epoch's end.

    `epochs` is its length, None for all that are left. `features_once` says that the outputs of
    frozen layers are computed once, before it.
    """

    epochs: int | None
    start: float
    step: float
    end: float
    features_once: bool


def find_epochs(
    spec: Spec, config: Mapping[str, Any], minutes: float, began: float, config_dir: str | None
) -> tuple[int, str]:
    """Return how many epochs fit into `minutes`, counted from `began`, and the reason.

    `spec` is the provisional spec and `config` its configuration, without `minutes`. Raises
    SpecError, which says what is possible, where not even one epoch fits.
    """
    plan = plan_run(spec, config_dir)
    phases, forward = measure_phases(plan, config, MEASURING_SHARE * 60 * minutes)
    decoding, waiting = measure_photos(plan)
    beside = decoding + count_seconds_beside(plan, phases, forward)
    spent = time.perf_counter() - began
    left = MARGIN * 60 * minutes - spent - beside
    epochs = [
        compute_epoch_seconds(plan, phase, max(phase.step, waiting), forward) for phase in phases
    ]
    lengths = [phase.epochs for phase in phases]
    fitting = count_epochs(left, epochs, lengths)
    if fitting < 1:
        raise explain_short_budget(minutes, left, beside + spent, epochs[0], plan.steps_per_epoch)
    check_second_phase(minutes, int(fitting), lengths, epochs)
    took = " and ".join(format_duration(seconds) for seconds in epochs)
    each = "an epoch takes" if len(epochs) == 1 else "epochs of its phases take"
    return int(fitting), f"because {each} {took} here and all else about {format_duration(beside)}"


def measure_phases(
    plan: Plan, config: Mapping[str, Any], max_seconds: float
) -> tuple[list[PhaseTime], float]:
    """Return what each phase of a run takes, and the seconds that predicting an image takes."""
    times = list[PhaseTime]()
    while True:
        timer = EpochTimer(max_seconds)
        epochs = MAX_SHORT_EPOCHS + plan.spec.finetune.knobs.get("head_epochs", 0)
        with prepare_short_fit(plan, config, SHORT_EPOCH, epochs, timer) as fit:
            number = len(times)
            phase = fit.phases[number]
            # As long as the measurement needs: a phase may have one epoch.
            one = replace(fit, phases=[replace(phase, epochs=None)], rates=[fit.rates[number]])
            with contextlib.suppress(EnoughSteps):
                one.train()
        once = fit.loop.features_once
        times.append(
            PhaseTime(
                phase.epochs, timer.start_seconds, timer.step_seconds, timer.end_seconds, once
            )
        )
        if len(times) == len(fit.phases):
            return times, measure_forward_pass(fit, fit.splits.train)


def measure_photos(plan: Plan) -> tuple[float, float]:
    """Return the seconds that decoding takes before the first step, and that a step waits for it.

    Photos that are decoded once are decoded by threads, others by processes.
    """
    photos, frame = plan.outline.photos, plan.outline.frame
    if photos is None or frame is None:
        return 0.0, 0.0
    if plan.outline.are_listed or plan.spec.dataset["cache"] == "none":
        rate = measure_input(plan)
        return 0.0, plan.spec.batch_size / rate.photos_per_second if rate else 0.0
    settled = replace(frame, value_range=None) if frame.value_range == "auto" else frame
    rows = np.unique(np.linspace(0, len(photos) - 1, MEASURED_PHOTOS).astype(int)).tolist()
    start = time.perf_counter()
    decode_chosen_photos(photos, rows, settled, [None] * len(rows))
    return len(photos) / len(rows) * (time.perf_counter() - start), 0.0


def count_seconds_beside(plan: Plan, phases: Sequence[PhaseTime], forward: float) -> float:
    """Return the seconds that a run takes beside its epochs and the decoding of photos.

    `forward` seconds predict an image: for features that are computed once, and for the last and
    the best weights at the end.
    """
    splits, spec = plan.outline.splits, plan.spec
    held_out = len(splits.test) + len(splits.valid or ())
    learning = len(splits.train) + len(splits.valid or ())
    evaluated = (3 if spec.ema_decay else 2) * held_out
    features = sum(phase.features_once for phase in phases) * learning
    starts = sum(phase.start for phase in phases)
    return PAGE_SECONDS + starts + forward * (evaluated + features)


def compute_epoch_seconds(plan: Plan, phase: PhaseTime, step: float, forward: float) -> float:
    """Return the seconds of an epoch, in the mean of all epochs where images grow.

    With `refit`, an epoch on all images comes to each.
    """
    splits, spec = plan.outline.splits, plan.spec
    valid = 0 if phase.features_once else len(splits.valid or ())
    share = compute_pixel_share(
        plan.image_sizes, math.ceil(plan.total_steps / plan.steps_per_epoch)
    )
    training = plan.steps_per_epoch * step * share
    once = training + phase.end + valid * forward
    again = (1 + len(splits.valid or ()) / len(splits.train)) * training + phase.end
    return once + again if spec.refit else once


def count_epochs(
    seconds: float, epoch_seconds: Sequence[float], lengths: Sequence[int | None]
) -> float:
    """Return the epochs, and parts of one, that fit; each phase has its epoch's seconds.

    `lengths` are the epochs of each phase, None for all that are left.
    """
    done = 0.0
    for each, length in zip(epoch_seconds, lengths, strict=True):
        fitting = seconds / each
        if length is None or fitting < length:
            return done + fitting
        done, seconds = done + length, seconds - length * each
    return done


def explain_short_budget(
    minutes: float, left: float, beside: float, epoch: float, steps_per_epoch: int
) -> SpecError:
    """Return the SpecError for a budget that is too short for one epoch: what is possible."""
    needed = max(minutes, minutes + (epoch - left) / (60 * MARGIN))
    steps = int(left / epoch * steps_per_epoch)
    return SpecError(
        f"minutes is {minutes:g}, and here an epoch takes about {format_duration(epoch)}; all "
        f"else, with measuring this, about {format_duration(beside)}",
        f"time for one epoch, about minutes={math.ceil(10 * needed) / 10:g}",
        f"minutes=null max_steps={steps}, a part of an epoch"
        if steps > 0
        else "smaller images or a smaller network",
    )


def check_second_phase(
    minutes: float, epochs: int, lengths: Sequence[int | None], seconds: Sequence[float]
) -> None:
    """Raise SpecError if the epochs that fit leave none for the second phase."""
    first = lengths[0]
    if len(lengths) == 1 or first is None or epochs > first:
        return
    raise SpecError(
        f"minutes is {minutes:g}, time for {epochs} epoch{'s' * (epochs != 1)}, and "
        f"finetune.head_epochs is {first}",
        "epochs left for the second phase, which take " + format_duration(seconds[1]),
        "finetune=head, or more minutes",
    )
