"""Ways of doing the same take turns within one process, and each turn is timed.

Time is that of the processor, of all threads, and that of the wall clock. The first says more on a
machine that others use, and the second where a GPU does the work.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SETTLE_SECONDS = 0.2  # in which threads of the way before finish what they have begun
Announce = Callable[[str], None]  # tells the user what is being measured


@dataclass(frozen=True)
class Timing:
    """What a turn took, in seconds: of the processor, all threads together, and of the clock."""

    cpu: float
    wall: float


class Clock:
    """Runs from its making on. Its way pays for the threads that it leaves behind."""

    def __init__(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def stop(self) -> Timing:
        """Return the time since the clock was made, with the processor's of threads that end."""
        wall = time.perf_counter() - self.wall
        time.sleep(SETTLE_SECONDS)
        return Timing(time.process_time() - self.cpu, wall)


@dataclass(frozen=True)
class Comparison:
    """The timings of ways that did the same in turn; entry r of each is of round r.

    A turn handles `images` images; `conditions` says how, in a few words. The other ways are
    compared with `ours`. `epoch_ends` are the seconds from the last step of an epoch to the first
    of the next, beyond what a step takes.
    """

    title: str
    conditions: str
    ours: str
    images: int
    timings: dict[str, list[Timing]]
    epoch_ends: list[float] = field(default_factory=list)

    def list_rates(self, way: str, clock: str) -> list[float]:
        """Return a way's images per second of a clock, `cpu` or `wall`, of each round."""
        return [self.images / getattr(timing, clock) for timing in self.timings[way]]

    def list_ratios(self, way: str, clock: str) -> list[float]:
        """Return our rate over that of a way, round by round; empty if ours was not measured."""
        pairs = zip(self.timings.get(self.ours, []), self.timings[way], strict=False)
        return [getattr(other, clock) / getattr(own, clock) for own, other in pairs]

    def to_json(self) -> dict[str, Any]:
        """Return all timings with what follows from them, as plain values."""
        ways = {
            way: {
                "seconds": [{"cpu": timing.cpu, "wall": timing.wall} for timing in timings],
                "images_per_cpu_second": summarise_values(self.list_rates(way, "cpu")),
                "images_per_second": summarise_values(self.list_rates(way, "wall")),
                "ours_over_it_cpu": summarise_values(self.list_ratios(way, "cpu")),
                "ours_over_it": summarise_values(self.list_ratios(way, "wall")),
            }
            for way, timings in self.timings.items()
        }
        about = {"title": self.title, "conditions": self.conditions, "images": self.images}
        return about | {"ways": ways, "epoch_end_seconds": summarise_values(self.epoch_ends)}


def summarise_values(values: list[float]) -> dict[str, float] | None:
    """Return the median of values and their range, or None if there are none."""
    if not values:
        return None
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


class Turns:
    """A `Progress` that lets other ways have a turn at the end of each of our epochs.

    Our clock stands still while others have theirs. The first round, in which everything compiles,
    does not count.
    """

    def __init__(self, ways: Mapping[str, Callable[[], object]], rounds: int, announce: Announce):
        self.ways, self.rounds, self.announce = dict(ways), rounds, announce
        self.timings: dict[str, list[Timing]] = {}
        self.number = 0  # of the round that goes on, the one that compiles being 0
        self.seconds_of_others = 0.0
        self.marks: list[tuple[int, float]] = []  # of our steps: the epoch, and when it was over

    def note(self, line: str) -> None: ...

    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None:
        self.announce_turn("cnntrain")
        self.clock = Clock()

    def step(
        self, epoch: int, step: int, images_per_second: float, logs: Mapping[str, float]
    ) -> None:
        self.marks.append((epoch, time.perf_counter() - self.seconds_of_others))

    def epoch(self, row: Mapping[str, float]) -> None:
        """End our turn, let the others have theirs, and begin our next one."""
        began = time.perf_counter()
        self.record_turn("cnntrain", self.clock.stop())
        self.run_round()
        if self.number <= self.rounds:
            self.announce_turn("cnntrain")
        self.seconds_of_others += time.perf_counter() - began
        self.clock = Clock()

    def run_round(self) -> None:
        """Run every other way once; each round begins with another one."""
        names = [*self.ways]
        turn = self.number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            self.announce_turn(name)
            clock = Clock()
            self.ways[name]()
            self.record_turn(name, clock.stop())
        self.number += 1

    def announce_turn(self, name: str) -> None:
        what = f"round {self.number} of {self.rounds}" if self.number else "compiling"
        self.announce(f"{what}: {name}")

    def record_turn(self, name: str, timing: Timing) -> None:
        if self.number:
            self.timings.setdefault(name, []).append(timing)

    def list_epoch_ends(self) -> list[float]:
        """Return the seconds of each end of our epochs, without the first, which compiles."""
        within: list[float] = []
        between: list[float] = []
        for (before, began), (after, ended) in itertools.pairwise(self.marks):
            (within if before == after else between).append(ended - began)
        usual = statistics.median(within) if within else 0.0
        return [max(0.0, seconds - usual) for seconds in between[1:]]


def repeat_rounds(
    ways: Mapping[str, Callable[[], object]], rounds: int, announce: Announce
) -> dict[str, list[Timing]]:
    """Return the timings of ways that took turns without a training of ours."""
    turns = Turns(ways, rounds, announce)
    for _ in range(rounds + 1):
        turns.run_round()
    return {name: turns.timings[name] for name in ways}


def list_batches(count: int, batch_size: int) -> Iterator[slice]:
    """Yield the slices of `count` examples that make batches; the last one may be smaller."""
    for start in range(0, count, batch_size):
        yield slice(start, start + batch_size)
