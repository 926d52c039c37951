"""The `expect` record of a recipe: what it may hold, and the interval that follows from it."""

import statistics

import pytest
from scipy import stats

from cnntrain.errors import SpecError
from cnntrain.spec.compose import compose_config
from cnntrain.spec.expectation import (
    Measured,
    compute_interval,
    convert_expectation,
    digest_recipe,
    read_expectation,
)
from cnntrain.spec.option_files import find_option_files

RECORD = {"source": "a paper", "settings": "source", "metric": "test_best"}
RECIPES = find_option_files("experiment")


def make_measured(*accuracies: float, images: int = 10_000) -> Measured:
    values = tuple(accuracies)
    return Measured(
        seeds=tuple(range(len(values))), valid_best=values, valid_final=values, test_best=values,
        test_final=values, epochs=2, seconds=values, cpu_seconds=values,
        images={"train": 10, "valid": images, "test": images}, fingerprint="f", recipe="r",
        device="CPU", backend="tensorflow", machine="m", cores=2, versions={}, date="2026-11-27",
    )  # fmt: skip


def test_the_normal_quantile_is_scipys():
    interval = compute_interval(make_measured(0.5, 0.7), "test_best")
    half = stats.norm.ppf(0.995) * statistics.stdev([0.5, 0.7]) * (1 / 2 + 1) ** 0.5
    assert interval.high - interval.mean == pytest.approx(min(half, 0.4), rel=1e-3)
    assert "0 %" not in interval.reason.replace("99 %", "")


def test_interval_is_at_least_as_wide_as_the_images_make_it():
    interval = compute_interval(make_measured(0.9, 0.9, images=100), "test_best")
    half = stats.norm.ppf(0.995) * (0.9 * 0.1 / 100) ** 0.5 * (1 / 2 + 1) ** 0.5
    assert interval.mean - interval.low == pytest.approx(half, rel=1e-3)
    assert interval.high <= 1
    assert "standard error of 100 images" in interval.reason


def test_the_mean_of_more_runs_is_expected_nearer():
    measured = make_measured(0.8, 0.81, 0.82)
    one, four = (compute_interval(measured, "test_best", runs) for runs in (1, 4))
    assert one.low < four.low < four.mean == one.mean < four.high < one.high


@pytest.mark.parametrize("seed", range(3))
def test_ninety_nine_of_a_hundred_runs_lie_within(seed):
    """Of 3 seeds whose deviation is that of the images, as the interval assumes at least."""
    random, error, inside = stats.norm(loc=0.9, scale=(0.09 / 1000) ** 0.5), 0, 0
    draws = random.rvs((2000, 4), random_state=seed)
    for *ours, theirs in draws:
        interval = compute_interval(make_measured(*ours, images=1000), "test_best")
        inside += interval.low <= theirs <= interval.high
        error += 1
    assert 0.98 < inside / error <= 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"metric": "test"}, "expect.metric is test"),
        ({"published": {"test": 98}}, "expect.published is {'test': 98}"),
        ({"settings": None}, "expect.settings is null"),
        ({"publisht": {}}, "expect.publisht is not a setting"),
        ({"measured": {"seeds": [0]}}, "expect.measured.valid_best is not given"),
    ],
)
def test_wrong_records_are_refused_with_file_and_key(change, word):
    with pytest.raises(SpecError, match=r"mine\.yaml") as refused:
        convert_expectation(RECORD | change, "mine.yaml")
    assert word in refused.value.given


def test_every_seed_needs_a_number():
    record = vars(make_measured(0.5, 0.6)) | {"seeds": [0, 1, 2]}
    with pytest.raises(SpecError, match="one number for each seed"):
        convert_expectation(RECORD | {"measured": record}, "mine.yaml")


def test_no_spec_holds_the_record_and_no_override_changes_it():
    assert "expect" not in compose_config(["experiment=lenet5_digits"]).config
    with pytest.raises(SpecError, match=r"expect\.metric is not a setting"):
        compose_config(["experiment=lenet5_digits", "expect.metric=valid_best"])


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_says_what_is_expected_and_was_measured_as_it_is_now(name):
    """A recipe whose settings were changed since has no measured numbers any more."""
    expected = read_expectation(RECIPES[name])
    assert expected is not None
    assert set(expected.needs or {}.values()) <= {*RECIPES, *(expected.needs or {})}
    if (measured := expected.measured) is not None:
        assert measured.recipe == digest_recipe(RECIPES[name]), "measure it again"
        assert len(measured.seeds) > 1
    else:
        assert expected.hours is not None, "the hours that it wants"
