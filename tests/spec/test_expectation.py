"""The `expect` record of a recipe: what it may hold, and the interval that follows from it."""

import json
import runpy
import statistics
from pathlib import Path

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


def test_interval_is_that_of_a_moderated_t():
    interval = compute_interval(make_measured(0.5, 0.53, images=100), "test_best")
    image, seeds = 0.515 * 0.485 / 100, statistics.variance([0.5, 0.53])
    deviation = ((4 * image + seeds) / 5) ** 0.5
    half = stats.t(5).ppf(0.995) * deviation * (1 / 2 + 1) ** 0.5
    assert interval.high - interval.mean == pytest.approx(half)
    assert interval.mean - interval.low == pytest.approx(half)
    assert "our 2 seeds deviate by 2.12 points, and 100 images" in interval.reason


def test_interval_holds_accuracies_only():
    interval = compute_interval(make_measured(0.99, 1.0, images=10), "test_best")
    assert 0 <= interval.low < interval.high == 1


def test_the_mean_of_more_runs_is_expected_nearer():
    measured = make_measured(0.8, 0.81, 0.82)
    one, four = (compute_interval(measured, "test_best", runs) for runs in (1, 4))
    assert one.low < four.low < four.mean == one.mean < four.high < one.high


@pytest.mark.parametrize(("times", "share"), [(0.3, 0.995), (1, 0.985), (2, 0.955)])
@pytest.mark.parametrize("count", [2, 3])
def test_nearly_all_honest_runs_lie_within(count, times, share):
    """Whether seeds deviate less than the images' standard error, as much, or twice as much."""
    error = times * (0.09 / 1000) ** 0.5
    draws = stats.norm(loc=0.9, scale=error).rvs((1500, count + 1), random_state=0)
    inside = 0
    for *ours, theirs in draws:
        interval = compute_interval(make_measured(*ours, images=1000), "test_best")
        inside += interval.low <= theirs <= interval.high
    assert inside / len(draws) > share


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


def test_recipe_without_validation_is_held_to_a_metric_on_test_images():
    none = {"valid_best": [], "valid_final": [], "images": {"train": 10, "test": 10}}
    record = RECORD | {"measured": vars(make_measured(0.5, 0.6)) | none}
    assert convert_expectation(record, "mine.yaml").measured.valid_best == ()
    with pytest.raises(SpecError, match="metric is valid_best and there are no images of valid"):
        convert_expectation(record | {"metric": "valid_best"}, "mine.yaml")


def test_a_metric_of_views_needs_the_setting_and_measured_numbers(tmp_path):
    record = RECORD | {"metric": "test_final_views"}
    with pytest.raises(SpecError, match="has no test_final_views"):
        convert_expectation(record | {"measured": vars(make_measured(0.5, 0.6))}, "mine.yaml")
    measured = vars(make_measured(0.5, 0.6)) | {"test_final_views": [0.6, 0.7]}
    expected = convert_expectation(record | {"measured": measured}, "mine.yaml")
    assert compute_interval(expected.measured, "test_final_views").mean == pytest.approx(0.65)
    assert expected.measured.test_best_views is None
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({"expect": record}))
    with pytest.raises(SpecError, match="test_views is none"):
        read_expectation(file)
    file.write_text(json.dumps({"expect": record, "test_views": "mirrored"}))
    assert read_expectation(file).metric == "test_final_views"


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


def test_every_variant_of_the_ablation_composes(spec, monkeypatch):
    scripts = Path(__file__).parents[2] / "scripts"
    monkeypatch.syspath_prepend(str(scripts))
    ablation = runpy.run_path(str(scripts / "ablation.py"))
    for words in ablation["VARIANTS"].values():
        spec(f"experiment={ablation['RECIPE']}", "dataset.valid=5000", *words)
