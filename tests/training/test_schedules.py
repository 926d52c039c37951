"""Rates against tables computed by hand."""

import math

import pytest

from cnntrain.errors import SpecError
from cnntrain.spec.option_files import CONF

STEPS_PER_EPOCH, EPOCHS = 10, 20
SCHEDULES = sorted(file.stem for file in (CONF / "schedule").glob("*.yaml"))


def rates(spec, *overrides, steps=None, base=1.0, steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS):
    rate = spec(*overrides).schedule(base, steps_per_epoch, steps_per_epoch * epochs)
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
    assert spec().schedule(1.0, STEPS_PER_EPOCH, STEPS_PER_EPOCH * EPOCHS).warmup_steps == 10


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


# The curve's overrides -> its value at steps, worked out by hand (bc, 20 digits) for a run of 200.
TABLES = {
    "schedule=exponential": {0: 1, 79: 1, 80: 0.96, 159: 0.96, 160: 0.9216, 199: 0.9216},
    "schedule=exponential schedule.every=4": {39: 1, 40: 0.96, 160: 0.84934656, 199: 0.84934656},
    "schedule=exponential schedule.every=20% schedule.factor=0.25 schedule.staircase=false": {
        0: 1, 20: 0.5, 30: 0.353553391, 40: 0.25, 60: 0.125,
    },
    "schedule=inverse_time": {0: 1, 1: 0.990099010, 100: 0.5, 150: 0.4, 199: 0.334448161},
    "schedule=inverse_time schedule.decay=1 schedule.every=5 schedule.staircase=true": {
        0: 1, 49: 1, 50: 1 / 2, 99: 1 / 2, 100: 1 / 3, 149: 1 / 3, 150: 1 / 4, 199: 1 / 4,
    },
    "schedule=inverse_time schedule.decay=0": {0: 1, 199: 1},
    "schedule=polynomial": {0: 1, 100: 0.535886731, 199: 0.00849323232},
    "schedule=polynomial schedule.power=1": {0: 1, 1: 0.995, 100: 0.5, 199: 0.005},
    "schedule=polynomial schedule.power=2 schedule.final=0.1": {
        0: 1, 50: 0.60625, 100: 0.325, 150: 0.15625, 199: 0.1000225,
    },
    "schedule=one_cycle": {
        0: 0.04, 1: 0.0406578233, 20: 0.28, 30: 0.52, 40: 0.76, 59: 0.999342177, 60: 1,
        95: 0.853553976, 130: 0.500002, 165: 0.146450024, 199: 0.000129882022,
    },
    "schedule=triangular schedule.peak=20%": {
        0: 0.2, 1: 0.22, 20: 0.6, 39: 0.98, 40: 1, 41: 0.9941875, 120: 0.535, 199: 0.0758125,
    },
    "schedule=triangular schedule.peak=10 schedule.start=0 schedule.final=0": {
        0: 0, 50: 0.5, 100: 1, 150: 0.5, 199: 0.01,
    },
}  # fmt: skip


@pytest.mark.parametrize("words", TABLES)
def test_curve_is_the_table_computed_by_hand(spec, words):
    table = TABLES[words]
    found = rates(spec, *words.split(), steps=table)
    assert found == pytest.approx(list(table.values()), rel=2e-6, abs=6e-8)


def test_default_triangle_has_its_peak_at_23_percent(spec):
    found = rates(spec, "schedule=triangular", steps=[0, 1, 22, 23, 24, 99], epochs=10)
    expected = [0.2, 0.234782609, 0.965217391, 1, 0.987922078, 0.0820779221]
    assert found == pytest.approx(expected)


def test_rate_that_falls_with_the_inverse_of_the_step_as_keras_decay_did(spec):
    found = rates(spec, "schedule=inverse_time", base=0.2, steps=[0, 1, 100, 300], epochs=40)
    assert found == pytest.approx([0.2, 0.198019802, 0.1, 0.05])


def test_stairs_are_exact_where_float32_has_no_odd_numbers(spec):
    words, boundary = ["schedule=exponential", "schedule.every=20"], 20_000_000
    steps = [boundary - 1, boundary]
    found = rates(spec, *words, steps=steps, steps_per_epoch=10**6, epochs=30)
    assert found == pytest.approx([1, 0.96])


@pytest.mark.parametrize(
    ("words", "peer", "settings"),
    [
        ("exponential schedule.every=3", "ExponentialDecay",
         {"decay_steps": 30, "decay_rate": 0.96, "staircase": True}),
        ("exponential schedule.every=3 schedule.staircase=false", "ExponentialDecay",
         {"decay_steps": 30, "decay_rate": 0.96}),
        ("inverse_time", "InverseTimeDecay", {"decay_steps": 1, "decay_rate": 0.01}),
        ("inverse_time schedule.every=3 schedule.staircase=true", "InverseTimeDecay",
         {"decay_steps": 30, "decay_rate": 0.01, "staircase": True}),
        ("polynomial", "PolynomialDecay",
         {"decay_steps": 200, "end_learning_rate": 0.0, "power": 0.9}),
        ("polynomial schedule.final=0.2 schedule.power=3", "PolynomialDecay",
         {"decay_steps": 200, "end_learning_rate": 0.1, "power": 3.0}),
    ],
)  # fmt: skip
def test_curve_is_that_of_keras(spec, words, peer, settings):
    import keras

    theirs = getattr(keras.optimizers.schedules, peer)(0.5, **settings)
    found = rates(spec, *f"schedule={words}".split(), base=0.5, steps=range(200))
    assert found == pytest.approx([float(theirs(step)) for step in range(200)], rel=1e-6)


def test_warmup_and_plateau_compose_with_a_curve_that_falls(spec):
    words = ["schedule=inverse_time", "schedule.warmup=1"]
    found = rates(spec, *words, steps=[0, 4, 9, 10])
    assert found == pytest.approx([0.1, 0.480769231, 0.917431193, 0.909090909])
    words += ["schedule.plateau.factor=0.1", "schedule.plateau.min_lr=0.04"]
    rate = spec(*words).schedule(1.0, STEPS_PER_EPOCH, 200)
    for expected in (0.05, 0.04):
        rate.reduce()
        assert float(rate(100)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "total_steps", "given"),
    [
        ("exponential schedule.every=0", 200, "schedule.every is 0"),
        ("inverse_time schedule.every=0.2%", 200, "schedule.every is 0.2%: 0 steps"),
        ("one_cycle schedule.peak=0%", 200, "schedule.peak is 0%: step 0"),
        ("one_cycle schedule.peak=20", 200, "schedule.peak is 20.0: step 200"),
        ("triangular schedule.peak=101%", 200, "schedule.peak is 101%: step 202"),
        ("triangular", 2, "schedule.peak is 23%: step 0"),
    ],
)
def test_curve_that_cannot_be_is_refused_before_the_first_step(spec, words, total_steps, given):
    with pytest.raises(SpecError) as refused:
        spec(*f"schedule={words}".split()).schedule(1.0, STEPS_PER_EPOCH, total_steps)
    assert refused.value.given.startswith(given)
    option, hint = words.split()[0], refused.value.hint
    spec(f"schedule={option}", hint).schedule(1.0, STEPS_PER_EPOCH, total_steps)  # the hint works


def test_plateau_factor_multiplies_the_curve_and_min_lr_bounds_the_product(spec):
    words = ["schedule=cosine", "schedule.warmup=0", "schedule.plateau.min_lr=0.04"]
    rate = spec(*words).schedule(1.0, STEPS_PER_EPOCH, 200)
    for reduced in (math.sqrt(0.1), 0.1, math.sqrt(0.001)):
        rate.reduce()
        assert float(rate(100)) == pytest.approx(max(0.5 * reduced, 0.04))
    last = (1 + math.cos(math.pi * 199 / 200)) / 2
    assert float(rate(199)) == pytest.approx(last, rel=1e-3)  # min_lr never raises the curve


def test_warmup_longer_than_the_run_is_refused(spec):
    with pytest.raises(SpecError, match="warmup"):
        spec("schedule.warmup=21").schedule(1.0, STEPS_PER_EPOCH, 200)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rate_is_the_same_inside_a_graph(spec, name):
    import tensorflow as tf

    rate = spec(f"schedule={name}").schedule(1.0, STEPS_PER_EPOCH, 200)
    graph = tf.function(rate)
    for step in (0, 5, 10, 111, 199):
        inside = graph(tf.constant(step, tf.int64))
        assert (inside.dtype, inside.shape) == (tf.float32, ())
        assert float(inside) == pytest.approx(float(rate(step)))
