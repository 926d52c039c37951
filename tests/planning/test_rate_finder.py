"""`plan --find-rate`: a repeatable curve of losses over learning rates, and a suggestion."""

import json
import math

import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.planning import rate_finder
from cnntrain.planning.rate_finder import (
    HIGHEST,
    LOWEST,
    TRIAL_STEPS,
    RateCurve,
    compute_trial_rate,
    find_rate_curve,
    format_rate_lines,
    record_curve,
    suggest_rate,
)
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config

RATES = np.geomspace(LOWEST, HIGHEST, 100)


def find_curve(*words):
    config = compose_config(words).config
    return find_rate_curve(build_spec(config), config)


def make_curve(losses):
    return record_curve(zip(RATES.tolist(), losses, strict=False), len(RATES))


def test_rates_grow_by_equal_factors():
    steps = np.arange(TRIAL_STEPS)
    rates = np.array([float(compute_trial_rate(n, TRIAL_STEPS)) for n in steps])
    np.testing.assert_allclose(rates, np.geomspace(LOWEST, HIGHEST, TRIAL_STEPS), rtol=1e-4)


def test_smoothed_losses_are_weighted_means_of_all_before():
    losses = np.random.default_rng(0).uniform(1, 2, 50)
    weights = rate_finder.SMOOTHING ** np.arange(50)
    expected = [
        np.average(losses[: n + 1], weights=weights[: n + 1][::-1]) for n in range(len(losses))
    ]
    np.testing.assert_allclose(make_curve(losses).smoothed, expected)


@pytest.mark.parametrize("worst", [math.nan, math.inf, 1e6])
def test_a_loss_that_diverges_ends_the_trial(worst):
    curve = make_curve([*np.linspace(2, 0.5, 80), worst, 3, 3, 3])
    assert curve.diverged
    assert len(curve.losses) <= 81
    assert suggest_rate(curve).rate == pytest.approx(RATES[79] / 3, rel=0.05)


def test_a_loss_that_ends_high_again_has_its_suggestion_below_the_lowest():
    losses = 2.3 - 1.8 * np.exp(-((np.log10(RATES) + 2) ** 2))  # lowest at 0.01
    suggestion = suggest_rate(make_curve(losses))
    assert 2e-3 < suggestion.rate < 1e-2
    assert f"{suggestion.rate:g}" == f"{suggestion.rate:.2g}"


@pytest.mark.parametrize(("losses", "why"), [([2.3] * 100, "at no rate"), ([math.nan], "finite")])
def test_without_a_fall_there_is_no_suggestion(losses, why):
    suggestion = suggest_rate(make_curve(losses))
    assert suggestion.rate is None
    assert why in suggestion.reason
    assert "no suggestion" in format_rate_lines(make_curve(losses), suggestion, 0.1)[-1]


def test_the_curve_is_a_function_of_the_spec():
    words = ("dataset.limit=300", "batch_size=32")
    first = find_curve(*words)
    assert find_curve(*words, "seed=1") != first
    assert find_curve(*words, "optimizer.learning_rate=3", "schedule=step", "epochs=7") == first
    assert RateCurve(first.rates, first.losses, first.smoothed, first.diverged) == first


@pytest.mark.parametrize(
    "words",
    [
        "optimizer=sgd schedule=one_cycle",
        pytest.param("optimizer=muon model=resnet20_v1 dataset.limit=60", marks=pytest.mark.slow),
        "optimizer=rmsprop schedule.warmup=5% precision=mixed_bfloat16",
        "model=mobilenet dataset.channels=3 dataset.image_size=[32,32] finetune=two_phase",
        "dataset.valid=0 augmentation=mixup ema_decay=0.99 accumulate=2 optimizer.l2=1e-3",
    ],
)
def test_any_optimizer_and_schedule_has_a_curve(words):
    curve = find_curve("dataset.limit=200", "max_steps=30", *words.split())
    assert 5 <= len(curve.rates) <= 30
    assert np.isfinite(curve.losses).all()


def test_a_trial_of_too_few_steps_is_refused():
    with pytest.raises(SpecError, match="max_steps is 5"):
        find_curve("max_steps=5")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_suggested_rate_trains_well(train, optimizer):
    rate = suggest_rate(find_curve(f"optimizer={optimizer}")).rate
    words = (f"optimizer={optimizer}", f"optimizer.learning_rate={rate}", "epochs=15")
    assert train(*words)[1]["test"]["best"]["accuracy"] > 0.95


def test_the_command_prints_curve_and_suggestion_and_writes_no_run(answer, tmp_path):
    words = ("plan", "--find-rate", "dataset.limit=300", "batch_size=32")
    ended = answer(*words)
    assert ended.returncode == 0, ended.stderr
    assert "rate └1e-06" in ended.stdout
    found = json.loads(answer(*words, "--json").stdout)
    assert f"optimizer.learning_rate={found['suggestion']:g}" in ended.stdout
    assert found["curve"][0]["learning_rate"] == pytest.approx(LOWEST)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("flag", ["--measure", "--layers"])
def test_flags_that_exclude_each_other_are_answered(answer, flag):
    assert f"--find-rate and {flag} are both given" in answer("plan", "--find-rate", flag).stderr
