"""What a fit decides after an epoch, and how a refit repeats it."""

import pytest

from cnntrain.training.decisions import Replay, Replaying, Watching
from cnntrain.training.schedules import Plateau


def make_row(epoch, loss, accuracy=0.5):
    return {"epoch": epoch, "valid.loss": loss, "valid.accuracy": accuracy}


WORDS = ("schedule.plateau.patience=1", "early_stopping.patience=2", "monitor=valid.loss")


def test_decisions_that_go_on_from_a_checkpoint_are_those_without_a_break(spec):
    rows = [make_row(n, loss) for n, loss in enumerate([3, 2, 2.5, 1, 1, 1], 1)]

    def decide(watching, rows):
        asked = (watching.is_best, watching.should_reduce, watching.should_stop)
        return [[ask(row) for ask in asked] for row in rows]

    whole = Watching(spec(*WORDS))
    expected = decide(whole, rows)
    assert expected[-1] == [False, True, True]
    for stop in range(len(rows)):
        first, second = Watching(spec(*WORDS)), Watching(spec(*WORDS))
        before = decide(first, rows[:stop])
        second.restore({"loop": {}, **first.to_facts()})
        assert before + decide(second, rows[stop:]) == expected
        assert second.to_facts() == whole.to_facts()


def test_second_phase_watches_the_plateau_of_its_own_schedule_also_after_a_break(spec):
    schedule = "finetune.schedule={name: constant, plateau: {patience: 1}}"
    checked = spec("finetune=two_phase", schedule)
    watching, resumed = Watching(checked), Watching(checked)
    rows = [make_row(n, 2) for n in (1, 2, 3)]
    assert not any(watching.should_reduce(row) for row in rows)
    watching.begin_phase(3, Plateau(**checked.finetune["schedule"]["plateau"]))
    assert not watching.should_reduce(make_row(4, 2))
    resumed.restore({"loop": {}, **watching.to_facts()})
    assert resumed.should_reduce(make_row(5, 2))
    assert resumed.reductions == [5]


def test_without_validation_the_last_epoch_is_the_best_unless_training_chooses(spec):
    rows = [{"epoch": n, "train.loss": loss} for n, loss in enumerate((2.0, 1.0, 1.5), 1)]
    watching, choosing = Watching(spec()), Watching(spec("monitor=train.loss"))
    assert [watching.is_best(row) for row in rows] == [True] * 3
    assert [choosing.is_best(row) for row in rows] == [True, True, False]
    assert not any(watching.should_reduce(row) or watching.should_stop(row) for row in rows)
    assert watching.best.best is None, "nothing was chosen"


def test_replay_reduces_and_ends_phases_as_the_first_fit_did(spec):
    replaying = Replaying(spec(*WORDS), Replay(7, 9, phases=(0, 3), reductions=(2, 5)))
    rows = [make_row(n, 1.0) for n in range(1, 8)]
    assert [row["epoch"] for row in rows if replaying.should_reduce(row)] == [2, 5]
    assert not any(replaying.should_stop(row) for row in rows)
    assert [replaying.find_phase_end(n, 999, 10) for n in (0, 1)] == [30, 70]


@pytest.mark.parametrize("phases", [(0,), (0, 8)])
def test_phase_never_ends_after_the_last_epoch_of_the_replay(spec, phases):
    assert Replaying(spec(), Replay(5, 9, phases)).find_phase_end(0, 999, 10) == 50
