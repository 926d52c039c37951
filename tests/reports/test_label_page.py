"""The page of a run on images with several labels, and its place beside other runs."""

import json
import shutil

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics

from cnntrain.analysis.label_scores import compute_label_metrics
from cnntrain.reports.comparisons.comparison import compare_runs
from cnntrain.reports.comparisons.comparison_tables import build_group_cells, choose_metrics
from cnntrain.reports.label_page import build_label_context, describe_label_prediction
from cnntrain.reports.run_page import write_run_report
from cnntrain.runs.results import gather_results
from cnntrain.runs.strangers import explain_odd_predictions
from cnntrain.terminal.units import NO_VALUE
from cnntrain.training.labels.artifacts import select_label_predictions

PREDICTIONS = {
    "labels": np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0]], np.uint8),
    "probabilities": np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.3], [0.4, 0.7, 0.2]], np.float32),
    "thresholds": np.array([0.5, 0.6, 0.5]),
}
NAMES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def page(properties):
    return (properties.folder / "report.html").read_text()


def test_page_shows_every_class_and_no_confusion_matrix(page):
    for part in (
        "Class by class", "mean average precision", "exact match", "threshold", "seven",
        "The threshold of a class is that with the highest F1", "Precision over recall",
        "The most confident mistakes", "Predictions", "binary cross-entropies",
        "by a valid.mean_average_precision of",
    ):  # fmt: skip
        assert part in page
    for other in ("Confusion matrix", "Calibration", "top-5", "accuracy", "Wilson"):
        assert other not in page


def test_figures_are_written(properties):
    names = {path.stem for path in (properties.folder / "figures").glob("*.png")}
    assert names == {"curves", "precision_recall", "predictions", "mistakes", "filters"}


def test_page_is_written_again_without_tensorflow_data(properties, tmp_path):
    other = shutil.copytree(properties.folder, tmp_path / "other")
    (other / "predictions.npz").write_bytes(b"damaged")
    page = write_run_report(other).read_text()
    assert "predictions.npz is damaged and left out" in page
    assert "mean average precision" in page


def test_prediction_is_told_by_its_labels():
    found = [describe_label_prediction(PREDICTIONS, row, NAMES) for row in range(3)]
    assert found[0] == ("ant", "ant", True, pytest.approx(0.8))
    assert found[1] == ("none", "bee", False, pytest.approx(0.8))
    assert found[2] == ("ant|bee", "bee", False, pytest.approx(0.6))


def test_context_holds_scikit_learns_numbers():
    context = build_label_context(PREDICTIONS, NAMES)
    shares, labels = PREDICTIONS["probabilities"], PREDICTIONS["labels"]
    whole, *classes = context["label_curves"]
    assert whole.average_precision == pytest.approx(
        metrics.average_precision_score(labels, shares, average="micro")
    )
    assert [curve.name for curve in classes] == ["ant", "bee"]  # no image has a cat
    assert context["classes"][2]["cells"][0] == NO_VALUE
    assert context["worst"] == [("bee", 0.5)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": np.full((3, 3), 2, np.uint8)}, "not 0 and 1"),
        ({"labels": np.zeros((3, 2), np.uint8)}, "shapes"),
        ({"probabilities": np.zeros((3, 3), int)}, "numbers"),
        ({"thresholds": np.zeros(2)}, "other classes"),
    ],
)
def test_odd_predictions_are_told(change, reason):
    assert explain_odd_predictions(PREDICTIONS, 3) is None
    assert reason in explain_odd_predictions(PREDICTIONS | change, 3)


def test_runs_with_one_and_with_several_labels_are_not_ranked_together(digits, properties):
    results = gather_results([digits.folder, properties.folder])
    compared = compare_runs(results, None)
    assert len(compared.evaluation_image_sets) == 2
    assert not compared.contrasts
    headings, rows = build_group_cells(compared)
    assert {"valid accuracy", "valid mAP"} <= {*headings}
    for place, heading in enumerate(headings):
        if "accuracy" in heading or "mAP" in heading:
            assert sorted(row[place] == NO_VALUE for row in rows) == [False, True]


def test_runs_with_several_labels_are_compared_by_mean_average_precision(properties, tmp_path):
    other = shutil.copytree(properties.folder, tmp_path / "other")
    compared = compare_runs(gather_results([properties.folder, other]), None)
    assert compared.sorted_by == "valid.mean_average_precision"
    assert [*choose_metrics(compared)] == [
        "valid.mean_average_precision", "valid.loss", "test.mean_average_precision"
    ]  # fmt: skip
    rows = json.loads(json.dumps(compared.to_json()))["runs"]
    report = properties.report["test"]["best"]
    assert rows[0]["test.mean_average_precision"] == report["mean_average_precision"]


def test_the_page_scores_what_float32_cannot_tell_apart_as_the_report_does():
    log_odds = np.array([[18.0], [19.0], [20.0], [21.0]])  # all are 1 in float32
    labels, thresholds = np.array([[1], [0], [1], [1]]), np.array([expit(19.5)])
    saved = select_label_predictions(log_odds, labels, thresholds)
    context = build_label_context(saved, ["a"])
    expected = compute_label_metrics(log_odds, labels)
    shown = context["label_scores"]
    assert shown.mean_average_precision == pytest.approx(expected["mean_average_precision"])
    assert (shown.precision, shown.recall) == (1, pytest.approx(2 / 3))
