"""Rates against tables computed by hand."""

import math

import pytest

from cnntrain.errors import SpecError

STEPS_PER_EPOCH, EPOCHS = 10, 20


def rates(spec, *overrides, steps=None, base=1.0, steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS):
    rate = spec(*overrides).schedule(steps_per_epoch, steps_per_epoch * epochs)
    rate.base = base
    return [float(rate(step)) for step in steps]


def test_constant_stays(spec):
    assert rates(spec, "schedule=constant", base=0.5, steps=[0, 7, 199]) == [0.5] * 3


def test_cosine_falls_from_the_base_to_the_final_share(spec):
    found = rates(spec, "schedule=cosine", "schedule.warmup=0", steps=[0, 50, 100, 150, 199])
    last = (1 + math.cos(math.pi * 199 / 200)) / 2
    expected = [1, 0.5 + math.sqrt(0.5) / 2, 0.5, 0.5 - math.sqrt(0.5) / 2, last]
    assert found == pytest.approx(expected, abs=1e-6)
    end = rates(spec, "schedule=cosine", "schedule.final=0.1", steps=[199])
    assert end == pytest.approx([0.1 + 0.9 * last])


def test_last_rate_stays_beyond_the_steps_that_were_planned(spec):
    found = rates(spec, "schedule=cosine", steps=[199, 200, 5000])
    assert found == [found[0]] * 3


def test_warmup_rises_linearly_to_the_curve(spec):
    found = rates(spec, "schedule=constant", "schedule.warmup=1", steps=[0, 4, 9, 10, 11])
    assert found == pytest.approx([0.1, 0.5, 1, 1, 1])


def test_default_warmup_is_one_epoch_of_twenty(spec):
    assert spec().schedule(STEPS_PER_EPOCH, STEPS_PER_EPOCH * EPOCHS).warmup_steps == 10


def test_step_falls_at_each_milestone(spec):
    words = ["schedule=step", "schedule.milestones=[50%,15,'180 steps']", "schedule.factor=0.1"]
    found = rates(spec, *words, steps=[99, 100, 149, 150, 179, 180])
    assert found == pytest.approx([1, 0.1, 0.1, 0.01, 0.01, 1e-3])


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0, 1), (80, 1), (81, 1e-1), (120, 1e-1), (121, 1e-2), (160, 1e-2), (161, 1e-3), (180, 1e-3),
     (181, 0.5e-3), (199, 0.5e-3)],
)  # fmt: skip
def test_resnet_step_is_the_schedule_of_the_keras_example(spec, epoch, factor):
    first, last = epoch * 10, epoch * 10 + 9
    found = rates(spec, "schedule=resnet_step", base=1e-3, steps=[first, last], epochs=200)
    assert found == pytest.approx([1e-3 * factor] * 2)


def test_plateau_factor_multiplies_the_curve_and_min_lr_bounds_the_product(spec):
    words = ["schedule=cosine", "schedule.warmup=0", "schedule.plateau.min_lr=0.04"]
    rate = spec(*words).schedule(STEPS_PER_EPOCH, 200)
    for reduced in (math.sqrt(0.1), 0.1, math.sqrt(0.001)):
        rate.reduce()
        assert float(rate(100)) == pytest.approx(max(0.5 * reduced, 0.04))
    last = (1 + math.cos(math.pi * 199 / 200)) / 2
    assert float(rate(199)) == pytest.approx(last, rel=1e-3)  # min_lr never raises the curve


def test_warmup_longer_than_the_run_is_refused(spec):
    with pytest.raises(SpecError, match="warmup"):
        spec("schedule.warmup=21").schedule(STEPS_PER_EPOCH, 200)


def test_rate_is_the_same_inside_a_graph(spec):
    import tensorflow as tf

    rate = spec("schedule=cosine").schedule(STEPS_PER_EPOCH, 200)
    graph = tf.function(rate)
    for step in (0, 5, 10, 111, 199):
        assert float(graph(tf.constant(step, tf.int64))) == pytest.approx(float(rate(step)))
