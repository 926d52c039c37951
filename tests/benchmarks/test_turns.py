"""Turns: who is timed when, and what our clock does not count."""

import time

import pytest

from cnntrain.benchmarks import turns
from cnntrain.benchmarks.turns import Comparison, Timing, Turns, repeat_rounds


@pytest.fixture(autouse=True)
def _no_settling(monkeypatch):
    monkeypatch.setattr(turns, "SETTLE_SECONDS", 0)


def train(progress, epochs, steps, step_seconds, end_seconds=0.0):
    """Do as a training does, as far as a `Progress` sees it."""
    progress.begin_phase(0, epochs * steps, steps)
    for epoch in range(1, epochs + 1):
        for step in range(1, steps + 1):
            time.sleep(step_seconds)
            progress.step(epoch, step, 0.0, {})
        time.sleep(end_seconds)
        progress.epoch({"epoch": epoch})


def test_other_ways_have_a_turn_after_each_epoch_and_each_begins_a_round_in_turn():
    calls, lines = [], []
    ways = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    progress = Turns(ways, 2, lines.append)
    train(progress, 3, 1, 0)
    assert "".join(calls) == "abbaab"
    assert {name: len(found) for name, found in progress.timings.items()} == dict.fromkeys(
        ("cnntrain", "a", "b"), 2
    )
    assert lines[:3] == ["compiling: cnntrain", "compiling: a", "compiling: b"]
    assert lines[-1] == "round 2 of 2: b"


def test_our_clock_stands_still_while_others_have_their_turn():
    progress = Turns({"slow": lambda: time.sleep(0.1)}, 2, lambda line: None)
    train(progress, 3, 4, 0.005, 0.03)
    for timing in progress.timings["cnntrain"]:
        assert 0.05 <= timing.wall < 0.1
        assert timing.cpu < 0.05
    (end,) = progress.list_epoch_ends()  # of three, the last has no next epoch, the first compiles
    assert 0.03 <= end < 0.06


def test_processor_time_counts_work_and_not_waiting():
    def work():
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass

    timings = repeat_rounds({"work": work, "wait": lambda: time.sleep(0.02)}, 1, lambda line: None)
    assert timings["work"][0].cpu >= 0.02 > timings["wait"][0].cpu
    assert timings["wait"][0].wall >= 0.02


def test_ratios_are_paired_round_by_round():
    own, other = [Timing(1, 2), Timing(2, 2)], [Timing(2, 2), Timing(1, 4)]
    comparison = Comparison("lenet5", "", "cnntrain", 10, {"cnntrain": own, "fit": other})
    assert comparison.list_ratios("fit", "cpu") == [2, 0.5]
    assert comparison.list_ratios("fit", "wall") == [1, 2]
    assert comparison.list_rates("fit", "cpu") == [5, 10]
    fit = comparison.to_json()["ways"]["fit"]
    assert fit["ours_over_it_cpu"] == {"median": 1.25, "lowest": 0.5, "highest": 2}
    assert fit["seconds"][1] == {"cpu": 1, "wall": 4}
    alone = Comparison("lenet5", "", "cnntrain", 10, {"fit": other})
    assert alone.to_json()["ways"]["fit"]["ours_over_it"] is None
