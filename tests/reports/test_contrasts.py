"""Whether the best is better: over seeds, on the same test images, and why not where not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnntrain.reports.comparisons.comparison import compare_runs
from cnntrain.reports.comparisons.comparison_page import format_comparison_lead, write_comparison
from cnntrain.reports.comparisons.comparison_tables import (
    build_group_cells,
    summarize_contrasts,
)
from cnntrain.runs.results import RunResult
from cnntrain.terminal.units import NO_VALUE

IMAGES = {"valid": "1" * 64, "test": "2" * 64, "all": "3" * 64}


def build_seeds(model, *accuracies, first_seed=1):
    """Return finished runs of a model, one for each accuracy, with seeds from `first_seed` on."""
    rows = ([{"epoch": 1.0, "valid.accuracy": accuracy}] for accuracy in accuracies)
    return [
        RunResult(
            Path(f"{model}_{seed}"), "finished", settings={"model": model, "seed": seed},
            history=history, image_fingerprints=IMAGES,
        )
        for seed, history in enumerate(rows, first_seed)
    ]  # fmt: skip


@pytest.fixture
def predicted(tmp_path):
    """Return a finished run that recognises the first `right` of 100 test images."""

    def write(model, right, images=IMAGES["test"], label=0):
        folder = tmp_path / model
        folder.mkdir()
        (folder / "run.json").write_text('{"class_names": ["x", "y"]}')
        guesses = np.where(np.arange(100) < right, label, 1 - label)
        np.savez(
            folder / "predictions.npz",
            labels=np.full(100, label), classes=np.stack([guesses, 1 - guesses], axis=1),
            probabilities=np.full((100, 2), 0.5, np.float32),
        )  # fmt: skip
        (run,) = build_seeds(model, right / 100)
        return replace(run, folder=folder, image_fingerprints=IMAGES | {"test": images})

    return write


def test_a_setting_is_better_over_seeds_in_words_table_and_json():
    runs = build_seeds("vgg", 0.91, 0.92, 0.93) + build_seeds("mlp", 0.81, 0.83, 0.82)
    comparison = compare_runs(runs, None)
    assert comparison.describe_contrasts() == [
        "model=vgg is better than model=mlp: valid accuracy higher by 10.00 points (95 % interval "
        "+7.73 to +12.27; p = 0.00026, Welch's t-test over 3 seeds)."
    ]
    headings, rows = build_group_cells(comparison)
    assert headings[-1] == "against the best"
    assert [row[-1] for row in rows] == ["the best", "worse, p = 0.00026"]
    assert format_comparison_lead(comparison).startswith("model=vgg is the best: ")
    (listed,) = json.loads(json.dumps(comparison.to_json()))["contrasts"]
    assert (listed["first"], listed["other"], listed["verdict"]) == (0, 1, "better")
    assert listed["difference"] == pytest.approx(0.1)
    assert listed["sentence"] == comparison.describe_contrasts()[0]


def test_ties_with_the_best_are_called_ties_and_many_comparisons_are_corrected(tmp_path):
    runs = [
        *build_seeds("a", 0.92, 0.90, 0.91),
        *build_seeds("b", 0.90, 0.92, 0.90),
        *build_seeds("c", 0.50, 0.52, 0.49),
    ]
    comparison = compare_runs(runs, None)
    verdicts = [row[-1] for row in build_group_cells(comparison)[1]]
    assert verdicts == ["the best", "tied, p = 1.00", "worse, p < 0.0001"]
    assert summarize_contrasts(comparison) == (
        "1 of 2 others is tied with model=a (model=b). model=a is better than 1 of 2 others. "
        "Tested by Welch's t-test, with Holm's correction for 3 comparisons: from p = 0.05 on it "
        "is a tie."
    )
    assert format_comparison_lead(comparison) == (
        "model=a is tied with 1 of 2 others: valid.accuracy 0.9100 ± 0.0100."
    )
    write_comparison(comparison, tmp_path, "sweep", "Sweep", "report sweep")
    page = (tmp_path / "sweep.html").read_text()
    assert "1 of 2 others is tied with model=a (model=b)." in page
    assert "<li>model=a and model=b are tied: the difference of 0.33 points" in page


def test_a_run_that_is_not_finished_counts_in_no_test():
    runs = build_seeds("a", 0.9) + build_seeds("b", 0.8)
    unfinished = [RunResult(runs[1].folder, "running", settings=runs[1].settings)]
    comparison = compare_runs([runs[0], *unfinished], "valid.accuracy")
    assert comparison.describe_contrasts() == [
        "No test tells whether model=a is better than model=b: one of them has no finished run "
        "with valid.accuracy."
    ]
    assert build_group_cells(comparison)[1][1][-1] == NO_VALUE


def test_one_run_each_is_compared_on_the_same_test_images(predicted):
    comparison = compare_runs([predicted("b", 80), predicted("a", 90)], None)
    assert comparison.describe_contrasts() == [
        "model=a is better than model=b: test accuracy higher by 10.00 points (95 % interval +3.72 "
        "to +15.89; p = 0.002, McNemar's exact test on 100 test images, of which model=a alone is "
        "right on 10 and model=b alone on 0). These are two runs: they do not tell what other "
        "seeds would give."
    ]
    assert summarize_contrasts(comparison) == comparison.describe_contrasts()[0]
    three = compare_runs([*comparison.results, predicted("c", 50)], None)
    assert "Each comparison is of two runs: they do not tell" in summarize_contrasts(three)


def test_one_run_against_several_is_compared_at_its_own_seed(predicted):
    first, other = predicted("b", 80), build_seeds("b", 0.7, first_seed=0)
    (contrast,) = compare_runs([predicted("a", 90), *other, first], None).contrasts
    assert (contrast.only_a, contrast.only_b) == (10, 0)


@pytest.mark.parametrize(
    ("other", "damage", "reason"),
    [
        ({"images": "4" * 64}, None, "they were tested on different images"),
        ({"images": ""}, None, "run.json of one of them does not name its test images"),
        ({"label": 1}, None, "their test images have different labels"),
        ({}, b"PK", "predictions.npz of b cannot be used: "),
    ],
)
def test_runs_without_a_test_say_why(predicted, other, damage, reason):
    a, b = predicted("a", 90), predicted("b", 80, **other)
    if damage is not None:
        (b.folder / "predictions.npz").write_bytes(damage)
    (sentence,) = compare_runs([a, b], None).describe_contrasts()
    assert sentence.startswith(f"No test tells whether model=a is better than model=b: {reason}")


def test_seconds_of_two_runs_are_not_tested_on_images():
    runs = [replace(run, seconds=9.0) for m in "ab" for run in build_seeds(m, 0.5)]
    sentence = summarize_contrasts(compare_runs(runs, "seconds"))
    assert "seconds of one run each says nothing of other runs" in sentence


def test_runs_that_differ_only_in_the_seed_have_no_contrast():
    comparison = compare_runs(build_seeds("a", 0.9, 0.8), None)
    assert (comparison.contrasts, summarize_contrasts(comparison)) == ([], "")
