"""Folds of one setting are one row, with an interval and all images judged out of fold."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from cnntrain.analysis.significance import compute_fold_interval
from cnntrain.reports.comparisons.comparison import compare_runs
from cnntrain.reports.comparisons.comparison_page import (
    format_comparison_eyebrow,
    format_comparison_lead,
    write_comparison,
)
from cnntrain.reports.comparisons.comparison_tables import (
    build_group_cells,
    describe_order,
    list_fold_lines,
)
from cnntrain.reports.comparisons.fold_scores import OutOfFold
from cnntrain.runs.results import RunResult

MLP, VGG = (0.81, 0.84, 0.80, 0.85, 0.82), (0.91, 0.93, 0.90, 0.95, 0.92)


def build_folds(model, accuracies, folds=None, seed=0, held_out="test", data="d"):
    """Return finished runs of a model, one for each fold, with these test or valid accuracies."""
    folds = range(len(accuracies)) if folds is None else folds
    return [
        build_run({"model": model, "seed": seed, "dataset.fold": fold}, accuracy, held_out, data)
        for fold, accuracy in zip(folds, accuracies, strict=True)
    ]


def build_run(settings, accuracy, held_out, data):
    fold = settings["dataset.fold"]
    prints = {part: f"{data}{part[0]}{fold}" * 9 for part in ("valid", "test")}
    if held_out == "valid":
        prints["test"] = "official" * 8
    return RunResult(
        Path("_".join(map(str, settings.values()))),
        "finished",
        settings={"dataset": "digits", "dataset.folds": 5, **settings},
        history=[{"epoch": 1.0, "valid.accuracy": accuracy}],
        test={"accuracy": accuracy},
        image_fingerprints=prints | {"all": f"{fold}" * 64},
    )


def test_jobs_that_differ_in_fold_are_one_setting_with_an_interval():
    comparison = compare_runs(build_folds("vgg", VGG), None)
    assert comparison.varied_settings == []
    (group,) = comparison.groups
    assert group.compute_mean("test.accuracy") == pytest.approx(np.mean(VGG))
    assert group.compute_deviation("test.accuracy") == pytest.approx(np.std(VGG, ddof=1))
    (scores,) = comparison.fold_scores
    assert scores.interval == pytest.approx(compute_fold_interval(VGG, 5))
    assert format_comparison_lead(comparison) == (
        "Test accuracy 0.9220 over 5 folds (95 % interval 0.8862 to 0.9578, t)."
    )
    assert describe_order(comparison).endswith("mean ± standard deviation over folds.")
    assert "images" not in build_group_cells(comparison)[0]
    assert json.loads(json.dumps(comparison.to_json()))["groups"][0]["folds"]["mean"] == 0.922
    assert [row["dataset.fold"] for row in comparison.list_rows()] == [*range(5)]


def test_folds_of_one_setting_differ_in_nothing_else():
    comparison = compare_runs(build_folds("vgg", VGG), None)
    assert format_comparison_eyebrow(comparison) == "5 runs that differ in the fold alone"


def test_settings_are_compared_on_the_same_folds_and_pages_say_so(tmp_path):
    comparison = compare_runs(build_folds("mlp", MLP) + build_folds("vgg", VGG), None)
    assert comparison.varied_settings == ["model"]
    assert comparison.evaluation_image_sets == []
    (sentence,) = comparison.describe_contrasts()
    assert sentence.startswith("model=vgg is better than model=mlp: valid accuracy higher by 9.80")
    assert "corrected resampled t-test over 5 folds" in sentence
    lines = list_fold_lines(comparison)
    assert lines[0].startswith("model=vgg: test accuracy 0.9220 over 5 folds")
    write_comparison(comparison, tmp_path, "sweep", "Sweep", "report sweep")
    page = (tmp_path / "sweep.html").read_text()
    assert "10 runs in 2 groups that differ in more than the fold" in page
    assert '<th class="n">fold</th>' in page
    assert "model=mlp: test accuracy 0.8240 over 5 folds" in page


def test_seeds_and_folds_are_one_group_and_the_fold_is_what_counts():
    seeds = [build_folds("vgg", np.array(VGG) + seed / 100, seed=seed) for seed in (0, 1, 2)]
    comparison = compare_runs([run for runs in seeds for run in runs], None)
    (scores,) = comparison.fold_scores
    assert len(comparison.groups[0].results) == 15
    assert scores.values == pytest.approx(dict(enumerate(np.array(VGG) + 0.01)))
    assert describe_order(comparison).endswith("over folds and seeds.")


def test_runs_of_different_folds_are_not_ranked():
    runs = build_folds("vgg", VGG[:1], [0]) + build_folds("mlp", MLP[:1], [1])
    comparison = compare_runs(runs, None)
    assert len(comparison.evaluation_image_sets) == 2
    assert comparison.contrasts == []
    assert "none is the best of all" in format_comparison_lead(comparison)
    two = build_folds("vgg", VGG[:2], [0, 1]) + build_folds("mlp", MLP[:2], [2, 3])
    assert compare_runs(two, None).evaluation_image_sets == [
        "digits (dv0dv0dv, folds 0, 1)", "digits (dv2dv2dv, folds 2, 3)"
    ]  # fmt: skip


def test_the_same_fold_of_other_images_is_not_the_same():
    runs = build_folds("vgg", VGG) + build_folds("mlp", MLP, data="e")
    assert len(compare_runs(runs, None).evaluation_image_sets) == 2
    same_fold = build_folds("vgg", VGG[:1]) + build_folds("mlp", MLP[:1])
    assert compare_runs(same_fold, None).evaluation_image_sets == []


def test_a_fold_that_failed_leaves_the_others_comparable():
    vgg, mlp = build_folds("vgg", VGG), build_folds("mlp", MLP)
    mlp[3] = RunResult(mlp[3].folder, "failed", "not finite", mlp[3].settings)
    comparison = compare_runs([*vgg, *mlp], None)
    assert comparison.evaluation_image_sets == []
    assert "over 4 folds" in comparison.describe_contrasts()[0]
    assert "over 4 of 5 folds" in comparison.describe_fold_scores()[1]


def test_folds_of_a_data_set_with_a_test_part_are_judged_by_validation():
    comparison = compare_runs(build_folds("vgg", VGG, held_out="valid"), None)
    (scores,) = comparison.fold_scores
    assert (scores.metric, scores.out_of_fold) == ("valid.accuracy", None)


def test_all_images_out_of_fold_are_counted_together(tmp_path):
    runs = []
    for run, right in zip(build_folds("vgg", VGG), (9, 8, 10, 7, 9), strict=True):
        folder = tmp_path / run.folder
        folder.mkdir()
        (folder / "run.json").write_text('{"class_names": ["x", "y"]}')
        guesses = (np.arange(10) >= right).astype(int)
        np.savez(
            folder / "predictions.npz", labels=np.zeros(10, int),
            classes=np.stack([guesses, 1 - guesses], axis=1),
            probabilities=np.full((10, 2), 0.5, np.float32),
        )  # fmt: skip
        runs.append(replace(run, folder=folder))
    comparison = compare_runs(runs, None)
    assert comparison.fold_scores[0].out_of_fold == OutOfFold(50, 43, None)
    assert comparison.describe_fold_scores()[0].endswith(
        "; out of fold 43 of 50 images are right, 0.8600 (95 % interval 0.7381 to 0.9305, Wilson)."
    )
    assert compare_runs(runs[:4], None).fold_scores[0].out_of_fold is None


def test_several_labels_are_scored_by_mean_average_precision_over_all_images(tmp_path):
    """On the test images, which the folds are, and not by what the table is sorted by."""
    random, runs, together = np.random.default_rng(0), [], []
    labels = random.integers(0, 2, (5, 20, 3)).astype(np.uint8)
    probabilities = np.clip(labels * 0.2 + random.random(labels.shape), 0, 1)
    for fold, (own, shares) in enumerate(zip(labels, probabilities, strict=True)):
        (run,) = build_folds("vgg", [0.5], [fold])
        folder = tmp_path / str(fold)
        folder.mkdir()
        (folder / "run.json").write_text('{"class_names": ["x", "y", "z"]}')
        np.savez(folder / "predictions.npz", labels=own, probabilities=shares,
                 thresholds=np.full(3, 0.5))  # fmt: skip
        row = {"epoch": 1.0, "train.exact_match": 0.1, "valid.mean_average_precision": 0.9}
        score = metrics.average_precision_score(own, shares)
        together.append(score)
        runs.append(replace(run, folder=folder, history=[row],
                            settings=run.settings | {"monitor": "valid.mean_average_precision"},
                            test={"mean_average_precision": score}))  # fmt: skip
    (scores,) = compare_runs(runs, None).fold_scores
    assert scores.metric == "test.mean_average_precision"
    assert scores.mean == pytest.approx(np.mean(together))
    pooled = metrics.average_precision_score(labels.reshape(-1, 3), probabilities.reshape(-1, 3))
    assert scores.out_of_fold == OutOfFold(100, None, pytest.approx(pooled))
    assert scores.describe().endswith(
        f"; out of fold the mean average precision over all 100 images together is {pooled:.4f}"
    )


def test_a_fold_that_was_interrupted_counts_only_once_it_is_finished():
    """Until then it has the validation of the epochs that it has made."""
    runs = build_folds("vgg", VGG, held_out="valid")
    runs[3] = replace(runs[3], status="interrupted")
    (scores,) = compare_runs(runs, None).fold_scores
    assert [*scores.values] == [0, 1, 2, 4]
    assert scores.describe().startswith("valid accuracy 0.9150 over 4 of 5 folds")


def test_a_job_that_waits_for_its_turn_leaves_the_others_comparable():
    vgg, mlp = build_folds("vgg", VGG), build_folds("mlp", MLP)
    mlp = [replace(run, settings=run.settings | {"model.hidden": 9}) for run in mlp]
    known = {key: value for key, value in mlp[4].settings.items() if key != "model.hidden"}
    mlp[4] = RunResult(mlp[4].folder, "waiting", settings=known, has_spec=False)
    assert compare_runs([*vgg, *mlp], None).evaluation_image_sets == []


@pytest.mark.parametrize("fold", [None, "2", 1.0, [1], 7, -1])
def test_a_fold_that_is_none_is_no_fold(fold):
    """The settings of a run may be a stranger's."""
    (run,) = build_folds("vgg", VGG[:1])
    odd = replace(run, settings=run.settings | {"dataset.fold": fold})
    assert compare_runs([odd, odd], None).fold_scores == [None]
