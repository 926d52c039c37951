"""Measure the time and the memory of a few real training steps, on stand-ins for the images."""

import contextlib
import dataclasses
import itertools
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.data.source import Examples
from cnntrain.planning.plan import Plan
from cnntrain.runs.directory import claim_temporary_run
from cnntrain.training.decisions import Replay
from cnntrain.training.evaluation import compile_prediction
from cnntrain.training.fit import Fit, prepare_fit
from cnntrain.training.journal import Row
from cnntrain.training.loop import Progress, SilentProgress

WARM_UP_STEPS = 2  # not counted: they trace the graph and allocate memory
MEASURED_STEPS, MAX_SECONDS = 20, 20.0  # the measurement ends at whichever comes first


@dataclass(frozen=True)
class StepMeasurement:
    """The median `seconds` of the measured `steps`, and the `growth` of peak memory in bytes.

    An image takes `forward` seconds to predict, and `training` seconds to learn from: forward,
    backward and update. With `features_once` frozen layers are not part of the latter.
    """

    steps: int
    seconds: float
    growth: int | None  # None where the operating system does not tell
    forward: float
    training: float
    features_once: bool


class EnoughSteps(Exception):
    """Raised to end the training once enough steps were measured."""


class StepTimer(SilentProgress):
    """A `Progress` that times the steps, and raises EnoughSteps when it has measured enough."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def step(self, epoch: int, step: int, images_per_second: float, logs: Row) -> None:
        """Take the time of a step; raise EnoughSteps if it was the last one needed."""
        now = time.perf_counter()
        self.times.append(now)
        warm = self.times[WARM_UP_STEPS:]
        if len(warm) > MEASURED_STEPS or (len(warm) > 1 and now - warm[0] > MAX_SECONDS):
            raise EnoughSteps

    @property
    def step_seconds(self) -> list[float]:
        """The seconds of each step after the warm-up."""
        warm = self.times[WARM_UP_STEPS:]
        return [after - before for before, after in itertools.pairwise(warm)]


def measure_steps(plan: Plan, config: Mapping[str, Any]) -> StepMeasurement:
    """Return what a step of the plan's first phase takes, from a short run that is thrown away.

    Its images have their full size.
    """
    steps = WARM_UP_STEPS + MEASURED_STEPS + 1
    timer, before = StepTimer(), reset_peak_memory()
    short_fit = prepare_short_fit(plan, config, steps, steps, timer, Replay(steps, steps))
    with short_fit as fit, contextlib.suppress(EnoughSteps):
        fit.train()
    after = read_peak_memory()
    growth = after - before if after is not None and before is not None else None
    seconds = statistics.median(timer.step_seconds)
    return StepMeasurement(
        steps=len(timer.step_seconds),
        seconds=seconds,
        growth=growth,
        forward=measure_forward_pass(fit, fit.splits.train),
        training=seconds / fit.spec.batch_size,
        features_once=fit.loop.features_once,
    )


@contextlib.contextmanager
def prepare_short_fit(
    plan: Plan,
    config: Mapping[str, Any],
    batches: int,
    epochs: int,
    progress: Progress,
    replay: Replay | None = None,
) -> Iterator[Fit]:
    """Yield a fit of the plan's network to stand-ins for a few batches, in a temporary folder.

    It has no validation, and its steps are made one by one.
    """
    splits, spec = plan.outline.splits, plan.spec
    count = min(len(splits.train), batches * spec.batch_size)
    # Spread evenly: the first ones of a folder are all of one class.
    train = splits.train[np.linspace(0, len(splits.train) - 1, count).astype(int)]
    short_spec = dataclasses.replace(
        spec,
        max_steps=None,
        steps_per_epoch=None,
        epochs=epochs,
        refit=False,
        image_sizes=None,
        steps_per_block=1,
        early_stopping=dataclasses.replace(spec.early_stopping, patience=None),
    )
    with claim_temporary_run(config) as run:
        few_images = dataclasses.replace(splits, train=train, valid=None)
        yield prepare_fit(short_spec, run, few_images, progress, replay=replay)


def measure_forward_pass(fit: Fit, train: Examples) -> float:
    """Return the median seconds that predicting an image takes, in batches as evaluation has."""
    count = min(2 * fit.spec.batch_size, len(train))
    images = train.gather_images(np.arange(count))
    predict = compile_prediction(fit.built.network, fit.devices.xla)
    times, began = list[float](), time.perf_counter()
    while len(times) <= MEASURED_STEPS and (
        len(times) < 2 or time.perf_counter() - began < MAX_SECONDS
    ):
        start = time.perf_counter()
        np.asarray(predict(images, count))
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) / count  # the first call compiles


def reset_peak_memory() -> int | None:
    """Set the peak memory of this process to what it has now; return it, as `read_peak_memory`."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return read_peak_memory()


def read_peak_memory() -> int | None:
    """Return the peak memory of this process in bytes, or None where the system is not Linux."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return 1024 * int(facts["VmHWM"].split()[0])
