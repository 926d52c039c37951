"""Verdicts on runs as they are left behind, without training."""

import json
from dataclasses import replace

import pytest

from cnntrain.errors import SpecError
from cnntrain.recipes.catalogue import Recipe, find_recipe, list_recipes
from cnntrain.recipes.page import write_reproduction_page
from cnntrain.recipes.verdict import judge_runs, read_seed_run
from cnntrain.spec.expectation import Expectation, Measured, digest_recipe

SIZES = {"train": 1000, "valid": 100, "test": 200}
RECORD = {
    "device": {"kind": "CPU"}, "backend": "tensorflow",
    "data": {"sizes": SIZES, "fingerprint": "ours"},
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 2")
    accuracies = (0.69, 0.70, 0.71)
    measured = Measured(
        seeds=(0, 1, 2), valid_best=accuracies, valid_final=accuracies, test_best=accuracies,
        test_final=accuracies, epochs=2, seconds=accuracies, cpu_seconds=(60.0, 60.0, 90.0),
        images=SIZES, fingerprint="ours", recipe=digest_recipe(file), device="CPU",
        backend="tensorflow", machine="2 cores", cores=2, versions={}, date="2026-11-27",
    )  # fmt: skip
    expected = Expectation(
        source="a paper", settings="source", published={"test": 0.75}, metric="test_best",
        measured=measured,
    )  # fmt: skip
    return Recipe("mine", "Mine.", file, expected)


@pytest.fixture
def judge(recipe, left_behind):
    """Judge runs, each given by its test accuracy and what else is in run.json."""

    def one(*accuracies, overrides=(), epochs=2, of=recipe, **record):
        runs = []
        for seed, accuracy in enumerate(accuracies):
            row = [accuracy + 0.05] * epochs  # left_behind writes a test accuracy of 0.05 less
            folder = left_behind(f"seed={seed}", accuracies=row, **(RECORD | record))
            runs.append(read_seed_run(folder, seed, of.expected.metric))
        return judge_runs(of, runs, overrides)

    return one


def test_a_run_within_the_interval_agrees(judge):
    verdict = judge(0.70)
    assert (verdict.kind, verdict.exit_code) == ("agrees", 0)
    assert "70.00 % is the test accuracy of the best epoch, within" in verdict.reasons[0]


@pytest.mark.parametrize("accuracy", [0.5, 0.9])
def test_a_run_outside_of_it_differs(judge, accuracy):
    verdict = judge(accuracy)
    assert (verdict.kind, verdict.exit_code) == ("differs", 1)


def test_the_mean_of_seeds_is_judged(judge):
    assert judge(0.6, 0.8).kind == "agrees"


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({"device": {"kind": "GPU"}}, "was trained on a GPU"),
        ({"backend": "jax"}, "with jax"),
        ({"data": RECORD["data"] | {"sizes": SIZES | {"train": 10}}}, "has 10 train"),
        ({"status": "interrupted"}, "was interrupted after 2 epochs"),
        ({"epochs": 1}, "has 1 epochs, and ours 2"),
        ({"epochs": 3}, "has 3 epochs, and ours 2"),
    ],
)
def test_what_is_not_the_same_is_not_compared(judge, record, word):
    verdict = judge(0.70, **record)
    assert (verdict.kind, verdict.exit_code) == ("cannot be compared", 3)
    assert word in " ".join(verdict.reasons)


def test_other_images_agree_or_cannot_be_compared(judge):
    others = {"data": RECORD["data"] | {"fingerprint": "others"}}
    agreed = judge(0.70, **others)
    assert agreed.kind == "agrees"
    assert "not byte for byte" in agreed.reasons[-1]


def test_other_images_outside_of_the_interval_cannot_be_compared(judge):
    others = {"data": RECORD["data"] | {"fingerprint": "others"}}
    assert judge(0.3, **others).kind == "cannot be compared"


def test_other_images_with_a_changed_setting_differ(judge):
    others = {"data": RECORD["data"] | {"fingerprint": "others"}}
    verdict = judge(0.3, overrides=("optimizer.learning_rate=9",), **others)
    assert verdict.kind == "differs"


def test_a_run_that_diverged_differs(judge):
    record = {"status": "failed", "kind": "Diverged", "error": "the loss is not finite at step 3"}
    assert judge(0.70, **record).kind == "differs"


def test_a_diverged_run_of_another_kind_is_not_compared(judge, recipe):
    record = {"status": "failed", "kind": "Diverged", "device": {"kind": "GPU"}}
    assert judge(0.70, **record).kind == "cannot be compared"


def test_a_recipe_that_was_changed_since_is_not_compared(judge, recipe):
    recipe.file.write_text("epochs: 2\nbatch_size: 3")
    verdict = judge(0.70)
    assert verdict.kind == "cannot be compared"
    assert "other settings now" in verdict.reasons[0]


def test_runs_that_have_not_begun_are_missed(judge, recipe):
    missing = "1 of 2 runs have not begun."
    verdict = judge_runs(recipe, judge(0.70).runs, (), missing)
    assert (verdict.kind, verdict.reasons) == ("cannot be compared", (missing,))


def test_an_unmeasured_recipe_cannot_be_compared(judge, recipe):
    bare = replace(recipe, expected=replace(recipe.expected, measured=None))
    verdict = judge(0.70, of=bare)
    assert (verdict.kind, verdict.interval) == ("cannot be compared", None)
    assert bare.minutes is None


def test_accuracies_on_views_of_the_images_are_judged(recipe, left_behind):
    recipe.file.write_text("epochs: 2\ntest_views: mirrored_shifted")
    measured = replace(
        recipe.expected.measured, test_final_views=(0.79, 0.80, 0.81),
        recipe=digest_recipe(recipe.file),
    )  # fmt: skip
    metric = "test_final_views"
    of = replace(recipe, expected=replace(recipe.expected, metric=metric, measured=measured))
    folder = left_behind("seed=0", **RECORD)
    verdict = judge_runs(of, [read_seed_run(folder, 0, metric)])
    assert verdict.kind == "cannot be compared"
    assert verdict.reasons == (
        "The run of seed 0 has no test accuracy at the end, mirrored and shifted.",
    )
    report = json.loads((folder / "report.json").read_text())
    views = {"views": "mirrored_shifted", "test_views": {"final": {"accuracy": 0.8}}}
    (folder / "report.json").write_text(json.dumps(report | views))
    verdict = judge_runs(of, [read_seed_run(folder, 0, metric)])
    assert (verdict.kind, verdict.mean) == ("agrees", 0.8)
    assert "80.00 % is the test accuracy at the end, mirrored and shifted" in verdict.reasons[0]


def test_minutes_are_those_of_the_processor(recipe):
    assert recipe.minutes == pytest.approx(1.5)


def test_page_and_json_hold_the_numbers_and_run_no_foreign_text(judge, recipe, tmp_path):
    odd = replace(recipe, summary="<script>alert(1)</script>")
    verdict = judge(0.70, 0.72, of=odd)
    write_reproduction_page(verdict, tmp_path)
    page = (tmp_path / "reproduce.html").read_text()
    assert "<script>alert(1)" not in page
    assert all(word in page for word in ("75.00 %", "71.00 %", "published (test)"))
    listed = json.loads(json.dumps(verdict.to_json()))
    assert [run["value"] for run in listed["runs"]] == pytest.approx([0.70, 0.72])
    assert listed["published"] == 0.75


def test_there_are_recipes_enough_and_they_are_found():
    recipes = list_recipes()
    assert len(recipes) >= 25
    assert sum(recipe.expected.measured is not None for recipe in recipes) >= 15
    with pytest.raises(SpecError) as refused:
        find_recipe("lenet5_minst")
    assert refused.value.hint == "cnntrain reproduce lenet5_mnist"
