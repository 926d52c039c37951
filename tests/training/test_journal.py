"""Sums and rows of an epoch, and what a checkpoint of an earlier version had in their place."""

import numpy as np
import pytest

from cnntrain.runs.directory import Run
from cnntrain.training.journal import Journal, Position, Stopwatch, restore_running_means
from helpers.run_files import read_rows

LOSSES = np.random.default_rng(0).random((7, 3), np.float32)


def open_journal(folder):
    journal = Journal(Run(folder), batch_size=10)
    journal.start_clock()
    return journal


@pytest.mark.parametrize("length", [1, 2, 7])
def test_sums_do_not_depend_on_how_steps_come_in(tmp_path, length):
    one, other = open_journal(tmp_path), open_journal(tmp_path)
    one.add_steps(LOSSES)
    for first in range(0, 7, length):
        other.add_steps(LOSSES[first : first + length])
    assert other.sums == one.sums  # to the last bit
    assert (other.count, other.cross_entropy) == (7, one.sums[1] / 7)


def test_row_of_steps_is_the_mean_since_the_last_row(tmp_path):
    journal = open_journal(tmp_path)
    for first in (0, 4):
        journal.add_steps(LOSSES[first : first + 4])
        journal.write_steps_row(first + 4, 0.1)
    rows = read_rows(Run(tmp_path), "steps.csv")
    means = [LOSSES[:4, 1].mean(), LOSSES[4:, 1].mean()]
    assert [row["train.loss"] for row in rows] == pytest.approx(means)


def test_row_of_an_epoch_is_the_mean_of_its_steps_and_the_next_one_begins_anew(tmp_path):
    journal = open_journal(tmp_path)
    journal.add_steps(LOSSES)
    row = journal.make_epoch_row(Position(step=7, epochs=1), {"valid.loss": 0.5}, 0.1, None)
    names = ("train.objective", "train.loss", "train.accuracy")
    assert [row[name] for name in names] == pytest.approx(LOSSES.mean(axis=0))
    assert row["images_per_second"] > 0
    journal.end_epoch(row)
    assert (journal.count, journal.sums, journal.epoch_seconds) == (0, [0.0] * 3, 0.0)
    assert journal.seconds > 0


def test_running_means_of_an_earlier_version_become_sums():
    loop = {"step": 24, "first_step": 20, "window": [2, 1.5], "seconds": 9.0, "epoch_seconds": 2.0}
    values = (32.0, 64.0, 16.0, 64.0, 48.0, 64.0)  # total and count of three means, of 4 batches
    arrays = {f"metrics/{n}/x": np.float32(value) for n, value in enumerate(values)}
    known = restore_running_means(loop, arrays)
    assert known["sums"] == [2.0, 1.0, 3.0]
    assert (known["count"], known["logged"]) == (4, [2, 1.5])
    assert restore_running_means(loop | {"first_step": 24}, arrays)["sums"] == [0.0] * 3


def test_seconds_of_training_go_on_from_a_checkpoint_that_is_made_within(tmp_path):
    first, second = open_journal(tmp_path), open_journal(tmp_path)
    with first.spend("train"):
        first.add_steps(LOSSES)
        first.end_epoch(first.make_epoch_row(Position(step=7, epochs=1), {}, 0.1, None))
        facts = first.to_facts()
    assert first.seconds <= facts["journal"]["spent"]["train"] <= first.spent["train"]
    second.restore(facts, {})
    stopwatch = Stopwatch()
    stopwatch.record_lap("data")
    with second.spend("train"):
        stopwatch.record_lap("train")
    seconds = stopwatch.sum_up(second)
    assert second.spent["train"] > facts["journal"]["spent"]["train"]
    assert seconds["total"] == pytest.approx(seconds["data"] + seconds["train"])


def test_checkpoint_without_seconds_of_training_has_those_of_its_parts(tmp_path):
    journal = open_journal(tmp_path)
    known = {"seconds": 4.0, "epoch_seconds": 1.0, "spent": {"evaluation": 2.0, "waiting": 3.0}}
    journal.restore({"journal": known}, {})
    assert journal.spent["train"] == 7.0
