"""Fewer training images than `batch_size`: the batch shrinks to them, and the run says so."""

import pytest

from cnntrain.data.steps import shrink_batch_size
from cnntrain.errors import SpecError
from helpers.run_files import are_equal, load_weights

FEW = ("model=mlp_300_100", "dataset.limit=50", "epochs=4", "schedule=constant")


@pytest.mark.parametrize(
    ("words", "images", "replicas", "number"),
    [
        ((), 128, 1, 128),
        ((), 127, 1, 127),
        ((), 1, 1, 1),
        (("accumulate=4",), 50, 1, 48),
        (("accumulate=4",), 50, 2, 48),
        (("accumulate=16",), 50, 2, 32),
        (("batch_size=96", "accumulate=3"), 95, 4, 84),
    ],
)
def test_batch_is_as_large_as_the_images_and_those_who_share_it_allow(
    spec, words, images, replicas, number
):
    asked = spec(*words)
    fitted, note = shrink_batch_size(asked, images, replicas)
    assert fitted.batch_size == number
    assert (note is None) == (number == asked.batch_size)
    assert note is None or f"{images} training images: {number} a batch" in note


def test_fewer_images_than_parts_are_refused_with_what_helps(spec):
    with pytest.raises(SpecError) as refused:
        shrink_batch_size(spec("accumulate=64"), 50, 1)
    assert refused.value.hint == "accumulate=1"


@pytest.fixture(scope="module")
def few(train_in, tmp_path_factory):
    """A run of 50 images, and what it said: (Run, report, lines)."""
    said: list[str] = []
    return *train_in(tmp_path_factory.mktemp("few"))(*FEW, said=said), said


def test_small_data_trains_as_if_its_size_had_been_asked_for(train, few):
    run, report, said = few
    assert report["steps"] == 4
    assert "batch_size is 128 and there are 50 training images: 50 a batch" in said
    exact, _ = train(*FEW, "batch_size=50")
    assert are_equal(load_weights(run.final), load_weights(exact.final))
    hashes = [one.read_run_json()["spec_hash"] for one in (run, exact)]  # of what was asked for
    assert hashes[0] != hashes[1]


def test_resumed_it_ends_as_if_it_had_never_stopped(train, few, spec, silent):
    from cnntrain.training.trainer import train_run

    run, _ = train(*FEW, "max_steps=2")
    train_run(spec(*FEW, "max_steps=4"), run, silent())
    assert are_equal(load_weights(run.final), load_weights(few[0].final))


def test_refit_has_a_batch_of_its_own_images(train):
    run, report = train(*FEW, "refit=true", "epochs=1")
    assert "refit" in report["test"]
    assert run.refit.is_file()


def test_plan_says_the_same(spec):
    from cnntrain.planning.plan import plan_run

    plan = plan_run(spec(*FEW), None)
    assert (plan.spec.batch_size, plan.steps_per_epoch, plan.total_steps) == (50, 1, 4)
    assert "50 training images: 50 a batch" in plan.warnings[0]
