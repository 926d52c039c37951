"""A few real training steps of a plan, on stand-ins for its images: how long, how much memory."""

import contextlib
import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnntrain.planning.plan import Plan
from cnntrain.runs.directory import Run
from cnntrain.training.fitting import Fitting
from cnntrain.training.loop import Script

WARM_UP_STEPS = 2  # steps that are not counted: they trace, and find their memory
MEASURED_STEPS, MAX_SECONDS = 20, 20.0  # after these many, or so long, it is known


@dataclass(frozen=True)
class StepMeasurement:
    """Of so many steps: the median seconds of one, and the bytes that the process grew by."""

    steps: int
    seconds: float
    growth: int | None  # None where the system does not say


class EnoughSteps(Exception):
    """Enough steps were made."""


class StepTimer:
    """A `Progress` that takes the time of steps, and ends the training when it knows."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def note(self, line: str) -> None: ...
    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None: ...
    def epoch(self, row: Mapping[str, float]) -> None: ...

    def step(
        self, epoch: int, step: int, images_per_second: float, logs: Mapping[str, float]
    ) -> None:
        now = time.perf_counter()
        self.times.append(now)
        warm = self.times[WARM_UP_STEPS:]
        if len(warm) > MEASURED_STEPS or (len(warm) > 1 and now - warm[0] > MAX_SECONDS):
            raise EnoughSteps

    @property
    def step_seconds(self) -> list[float]:
        """The seconds of each step that counts."""
        warm = self.times[WARM_UP_STEPS:]
        return [after - before for before, after in itertools.pairwise(warm)]


def measure_steps(plan: Plan, config: Mapping[str, Any]) -> StepMeasurement:
    """Return how long a step of the first phase takes; its run is thrown away."""
    splits = plan.outline.splits
    spec = plan.spec
    few = min(len(splits.train), (WARM_UP_STEPS + MEASURED_STEPS + 1) * spec.batch_size)
    train = dataclasses.replace(
        splits.train,
        labels=splits.train.labels[:few],
        rows=None if splits.train.rows is None else splits.train.rows[:few],
    )
    once = dataclasses.replace(
        spec,
        max_steps=None,
        steps_per_epoch=None,
        epochs=WARM_UP_STEPS + MEASURED_STEPS + 1,
        refit=False,
    )
    watch, before = StepTimer(), read_peak_memory(peak_from_now=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.claim(Path(folder) / "run", config, [])
        script = Script(once.epochs, once.epochs)
        fitting = Fitting(once, run, dataclasses.replace(splits, train=train), watch, None, script)
        with contextlib.suppress(EnoughSteps):
            fitting.fit()
    grown = read_peak_memory()
    growth = grown - before if grown is not None and before is not None else None
    return StepMeasurement(len(watch.step_seconds), statistics.median(watch.step_seconds), growth)


def read_peak_memory(peak_from_now: bool = False) -> int | None:
    """The most memory that this process has had, in bytes; or what it has, to begin from.

    Linux counts it, and lets a process begin anew.
    """
    try:
        if peak_from_now:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return 1024 * int(facts["VmHWM"].split()[0])
