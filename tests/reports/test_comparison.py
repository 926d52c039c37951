"""Comparisons of runs: groups, order, tables, files and charts."""

import csv
import dataclasses
import functools
import io
import itertools
import json
import statistics
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from cnntrain.errors import SpecError
from cnntrain.reports.comparisons import comparison_charts
from cnntrain.reports.comparisons.comparison import compare_runs
from cnntrain.reports.comparisons.comparison_page import (
    format_comparison_lead,
    format_effect_caption,
)
from cnntrain.reports.comparisons.comparison_tables import (
    build_group_cells,
    build_group_table,
    compute_table_width,
    render_comparison,
)
from cnntrain.runs.results import RunResult, collect_settings, gather_results
from cnntrain.spec.compose import compose_config
from cnntrain.spec.signatures import GROUPS


@functools.cache
def build_settings(*options):
    """Return the settings of a run with these options."""
    composed = compose_config(options)
    return collect_settings(composed.config, {"choices": composed.choices})


def build_history(*accuracies):
    """Return the rows of history.csv for a run with these accuracies."""
    parts = ("train", "valid")
    return [
        {"epoch": epoch, "seconds": 1.5}
        | {f"{part}.accuracy": accuracy for part in parts}
        | {f"{part}.loss": 1 - accuracy for part in parts}
        for epoch, accuracy in enumerate(accuracies, 1)
    ]


def build_comparison(*varied, sort=None):
    """Return a comparison of all jobs of a sweep, such as "seed=1,2", "epochs=1,2"."""
    keys = [[f"{k}={v}" for v in vs.split(",")] for k, vs in (w.split("=") for w in varied)]
    results = []
    for number, words in enumerate(itertools.product(*keys)):
        options = [word for word in words if word.partition("=")[0] in GROUPS]
        values = dict(word.split("=") for word in words if word not in options)
        settings = build_settings(*options) | {
            key: yaml.safe_load(value) for key, value in values.items()
        }
        rows, test = build_history(0.3, 0.5 + number / 100), {"accuracy": 0.4, "loss": 1.1}
        folder = Path(f"sweep/{number}_job")
        results.append(RunResult(folder, "finished", "", settings, rows, test, seconds=10 + number))
    return compare_runs(results, sort)


def test_only_settings_that_differ_are_columns_and_seeds_are_averaged():
    comparison = build_comparison("initializer=zeros,he_normal", "seed=1,2,3")
    assert comparison.varied_settings == ["initializer"]
    best, worst = comparison.groups
    assert best.settings == {"initializer": "he_normal"}
    values = [0.53, 0.54, 0.55]
    assert best.compute_mean("valid.accuracy") == pytest.approx(statistics.fmean(values))
    assert best.compute_deviation("valid.accuracy") == pytest.approx(statistics.stdev(values))
    assert len(worst.results) == 3


def test_a_knob_that_follows_from_an_option_is_not_a_column():
    comparison = build_comparison(
        "initializer=orthogonal,he_normal"
    )  # the first has a gain of its own
    assert "initializer.gain" in comparison.differences
    assert comparison.varied_settings == ["initializer"]


def test_a_knob_that_varies_within_an_option_is_a_column():
    comparison = build_comparison("initializer=zeros,he_normal", "initializer.head_gain=0.1,0.5")
    assert comparison.varied_settings == ["initializer", "initializer.head_gain"]
    assert len(comparison.groups) == 4


def test_settings_without_an_effect_are_no_difference():
    assert build_comparison("log_every=1,10", "seed=1,2").varied_settings == []


@pytest.mark.parametrize(
    ("sort", "first"), [(None, 0.53), ("valid.loss", 0.53), ("train.loss", 0.53), ("seconds", 0.5)]
)
def test_the_best_group_is_first_whether_more_or_less_is_better(sort, first):
    comparison = build_comparison("epochs=1,2,3,4", sort=sort)
    assert comparison.groups[0].compute_mean("valid.accuracy") == pytest.approx(first)


def test_jobs_without_numbers_come_last_with_their_reason(left_behind, tmp_path):
    left_behind("sweep/0_a", "epochs=1", accuracies=[], status="failed", error="not finite")
    left_behind("sweep/1_b", "epochs=2")
    comparison = compare_runs(gather_results([tmp_path / "sweep"]), None)
    assert [group.settings["epochs"] for group in comparison.groups] == [2, 1]
    assert comparison.list_rows()[1]["reason"] == "not finite"
    assert [
        part
        for part in render_comparison(comparison, 100, False).renderables
        if "not finite" in str(part)
    ]


def test_unknown_number_to_sort_by_is_refused():
    with pytest.raises(SpecError, match=r"--sort is valid\.acuracy") as refused:
        build_comparison("seed=1,2", sort="valid.acuracy")
    assert refused.value.hint == "--sort valid.accuracy"


def test_csv_and_json_hold_every_run():
    comparison = build_comparison("initializer=zeros,he_normal", "seed=1,2")
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [row["initializer"] for row in rows] == ["he_normal", "he_normal", "zeros", "zeros"]
    assert {row["seed"] for row in rows} == {"1", "2"}
    listed = json.loads(json.dumps(comparison.to_json()))
    assert listed["groups"][0]["valid.accuracy"]["runs"] == 2
    assert len(listed["runs"]) == 4


def test_a_table_fits_the_terminal_however_many_settings_vary():
    comparison = build_comparison(
        "initializer=truncated_normal,glorot_uniform", "optimizer.learning_rate=0.001,0.0001",
        "batch_size=32,64", "schedule=cosine,constant", "seed=1,2",
    )  # fmt: skip
    table = build_group_table(comparison, 100)
    columns = [[*column.cells] for column in table.columns]
    headings = [str(column.header) for column in table.columns]
    assert (
        compute_table_width(headings, [*zip(*columns, strict=True)]) <= 100
        or headings[0] == "settings"
    )
    assert {"valid accuracy", "test accuracy"} <= set(headings)


@pytest.mark.parametrize(
    ("varied", "kind"),
    [
        (["initializer=zeros,he_normal"], "scatter"),
        (["initializer=zeros,he_normal", "epochs=1,2"], "heatmap"),
        (["initializer=zeros,he_normal", "epochs=1,2", "batch_size=32,64"], "parcoords"),
    ],
)
def test_figures_are_valid_plotly(varied, kind):
    graph_objects = pytest.importorskip("plotly.graph_objects")
    comparison = build_comparison(*varied, "seed=1,2")
    effect = comparison_charts.plot_settings_effect(comparison)
    assert effect["data"][0]["type"] == kind
    for figure in (effect, comparison_charts.plot_curves(comparison, "valid.loss")):
        graph_objects.Figure(paint_figure(figure))  # raises for anything that plotly does not know


def test_heat_map_has_the_mean_of_each_pair():
    comparison = build_comparison("batch_size=64,128,32", "epochs=1,2", "seed=1,2")
    heat = comparison_charts.plot_heat_map(comparison)["data"][0]
    across, down = comparison.varied_settings
    assert (heat["x"], heat["y"]) == (["32", "64", "128"], ["1", "2"])
    assert (across, down) == ("batch_size", "epochs")
    assert heat["z"][0][1] == pytest.approx(0.505)  # epochs 1, batch 64: jobs 0 and 1


def test_the_number_to_sort_by_is_in_the_table():
    comparison = build_comparison("initializer=zeros,he_normal", sort="train.loss")
    headings, rows = build_group_cells(comparison)
    assert headings[1:5] == ["runs", "train loss", "valid accuracy", "valid loss"]
    assert [row[2] for row in rows] == ["0.4900", "0.5000"]


def test_a_huge_loss_is_shown_by_its_magnitude():
    comparison = build_comparison("batch_size=32,64")
    rows = [{**row, "valid.loss": 2.12e18} for row in build_history(0.1, 0.1)]
    worst = dataclasses.replace(comparison.results[0], history=rows)
    rows = build_group_cells(compare_runs([worst, comparison.results[1]], None))[1]
    assert [row[3] for row in rows] == ["0.4900", "2.120e+18"]


@pytest.mark.parametrize(("epochs", "named_one_by_one"), [(2, True), (40, False)])
def test_no_axis_names_half_an_epoch(epochs, named_one_by_one):
    comparison = compare_runs(
        [RunResult(Path("run"), "finished", history=build_history(*[0.5] * epochs))], None
    )
    drawn = comparison_charts.plot_curves(comparison, "valid.loss")["layout"]["xaxis"]
    assert (drawn.get("dtick") == 1) == named_one_by_one


def test_a_reason_is_printed_in_full_to_a_pipe():
    failed = RunResult(Path("sweep/1_job"), "refused", reason="x" * 150)
    out = io.StringIO()
    Console(file=out, width=100).print(
        render_comparison(compare_runs([failed], None), 100, differences=False)
    )
    assert out.getvalue().count("x") == 150


def test_a_caption_mentions_seeds_only_if_there_are_several():
    pair = ("batch_size=32,64", "epochs=1,2")
    assert format_effect_caption(build_comparison(*pair)) == "valid.accuracy of each run."
    assert (
        format_effect_caption(build_comparison(*pair, "seed=1,2"))
        == "The mean valid.accuracy over seeds."
    )


def test_runs_that_differ_only_in_the_seed_are_one_row():
    comparison = build_comparison("seed=1,2,3")
    assert [row[:2] for row in build_group_cells(comparison)[1]] == [["all", "3"]]
    assert (
        format_comparison_lead(comparison)
        == "valid.accuracy 0.5100 ± 0.0100, over 3 runs of one spec."
    )


def test_values_that_look_alike_are_groups_of_their_own():
    comparison = build_comparison("optimizer.learning_rate=0.1,0.1000000001")
    assert len(comparison.groups) == 2


def test_runs_that_differ_only_in_the_seed_have_no_effect_chart():
    assert comparison_charts.plot_settings_effect(build_comparison("seed=1,2")) is None


def paint_figure(value):
    """Return a figure with real colours in place of those of the style sheet."""
    if isinstance(value, str) and value.startswith("$"):
        return "#123456"
    if isinstance(value, dict):
        return {key: paint_figure(part) for key, part in value.items()}
    return [paint_figure(part) for part in value] if isinstance(value, list) else value


def build_run(name, accuracy, images, **settings):
    """Return a run with these settings that was evaluated on images with this fingerprint."""
    values = build_settings() | {key.replace("__", "."): value for key, value in settings.items()}
    rows, known = build_history(accuracy), {"valid": images, "test": images, "all": images}
    return RunResult(Path(name), "finished", "", values, rows, image_fingerprints=known)


FOLDERS = {"dataset": "image_folder", "dataset__folder": "/photos"}


def test_runs_on_different_images_are_not_ranked_together():
    other = FOLDERS | {"dataset__folder": "/others"}
    runs = [
        build_run("a", 0.7, "1" * 64, **FOLDERS), build_run("b", 0.9, "2" * 64, **other),
        build_run("c", 0.8, "1" * 64, **FOLDERS, epochs=9),
    ]  # fmt: skip
    comparison = compare_runs(runs, None)
    assert [group.results[0].name for group in comparison.groups] == ["c", "a", "b"]
    assert comparison.groups[0].settings["images"] == "/photos (11111111)"
    assert comparison.list_rows()[2]["images"] == "/others (22222222)"
    out = io.StringIO()
    Console(file=out, width=100).print(render_comparison(comparison, 100, differences=True))
    text = " ".join(out.getvalue().split())
    assert "evaluated on 2 different sets of images" in text
    assert "/others (22222222)" in text
    assert "none is the best of all" in format_comparison_lead(comparison)


def test_runs_on_different_images_are_not_seeds_of_one_group():
    runs = [
        build_run("a", 0.7, "1" * 64, **FOLDERS),
        build_run("b", 0.9, "2" * 64, **FOLDERS, seed=1),
    ]
    assert [len(group.results) for group in compare_runs(runs, None).groups] == [1, 1]


def test_images_of_a_named_data_set_are_the_same_at_another_size():
    runs = [
        build_run("a", 0.7, "1" * 64),
        build_run("b", 0.9, "2" * 64, dataset__image_size=[16, 16]),
    ]
    comparison = compare_runs(runs, None)
    assert comparison.varied_settings == ["dataset.image_size"]
    assert [group.results[0].name for group in comparison.groups] == ["b", "a"]
    # The settings are the same and the images are not: these are two versions of a data set.
    versions = [build_run("a", 0.7, "1" * 64), build_run("b", 0.9, "2" * 64)]
    assert compare_runs(versions, None).varied_settings == ["images"]


def test_run_without_validation_is_ranked_by_its_test_accuracy():
    usual = build_run("a", 0.9, "1" * 64)
    off = build_run("b", 0.7, "2" * 64, dataset__valid=0)
    rows = [{k: v for k, v in row.items() if "valid" not in k} for row in off.history]
    known = {"test": "1" * 64, "all": "2" * 64}
    off = dataclasses.replace(off, history=rows, image_fingerprints=known, test={"accuracy": 0.8})
    usual = dataclasses.replace(usual, test={"accuracy": 0.7})
    comparison = compare_runs([usual, off], None)
    assert (comparison.sorted_by, comparison.varied_settings) == (
        "test.accuracy",
        ["dataset.valid"],
    )
    assert [group.results[0].name for group in comparison.groups] == ["b", "a"]
    by_validation = compare_runs([usual, off], "valid.accuracy")
    assert [group.results[0].name for group in by_validation.groups] == ["a", "b"]
    assert by_validation.evaluation_image_sets == []


def test_a_run_without_a_fingerprint_is_ranked_with_the_others():
    failed = dataclasses.replace(build_run("b", 0.9, "2" * 64), image_fingerprints={}, history=())
    assert compare_runs([build_run("a", 0.7, "1" * 64), failed], None).varied_settings == []


def test_older_runs_are_compared_by_the_fingerprint_of_all_their_images():
    runs = [
        build_run("a", 0.7, "1" * 64),
        build_run("b", 0.9, "1" * 64),
        build_run("c", 0.9, "2" * 64),
    ]
    old = [
        dataclasses.replace(run, image_fingerprints={"all": run.image_fingerprints["all"]})
        for run in runs[:2]
    ]
    assert compare_runs([*old, runs[1]], None).varied_settings == []
    assert compare_runs([*old, runs[2]], None).varied_settings == ["images"]
