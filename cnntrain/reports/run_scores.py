"""Build what the page of a run says of its results: intervals, classes, confusions, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnntrain.analysis.calibration import compute_calibration_error, compute_reliability
from cnntrain.analysis.label_scores import THRESHOLD_METRICS
from cnntrain.analysis.significance import compute_wilson_interval
from cnntrain.data.labels import format_label
from cnntrain.data.views import describe_views
from cnntrain.reports import charts
from cnntrain.reports.label_page import build_label_context, describe_label_prediction
from cnntrain.runs.results import chose_epoch
from cnntrain.spec.metrics import abbreviate_metric, choose_report_headline
from cnntrain.terminal.units import NO_VALUE, format_percent
from cnntrain.training.metrics import list_confused_pairs, score_saved_predictions

WORST_CLASSES = 3  # classes that are named as the worst; at most half of them
PAIRS_SHOWN = 5  # confused most often


def build_score_context(
    predictions: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, Any]:
    """Return the variables of run.html.j2 on the test predictions of the weights that were chosen.

    `predictions` holds the arrays of predictions.npz, and may be empty.
    """
    empty = ("scores", "confusion", "reliability", "calibration_error", "label_scores")
    nothing: dict[str, Any] = {"classes": [], "worst": [], "pairs": [], **dict.fromkeys(empty)}
    if not predictions:
        return nothing
    if "thresholds" in predictions:
        return nothing | build_label_context(predictions, names)
    scores = score_saved_predictions(predictions, len(names))
    confidence = predictions["probabilities"][:, 0].astype(float)
    hits = predictions["classes"][:, 0] == predictions["labels"]
    return nothing | {
        "scores": scores,
        "confusion": charts.plot_confusion(scores.confusion, names),
        "classes": scores.list_rows(names),
        "worst": scores.list_worst_classes(names, min(WORST_CLASSES, len(names) // 2)),
        "pairs": list_confused_pairs(scores.confusion, names, PAIRS_SHOWN),
        "reliability": charts.plot_reliability(compute_reliability(confidence, hits)),
        "calibration_error": compute_calibration_error(confidence, hits),
    }


def describe_prediction(
    predictions: Mapping[str, np.ndarray], row: int, names: Sequence[str]
) -> tuple[str, str, bool, float]:
    """Return the class of a test image, the class that it is called, whether that is right.

    Last comes the probability of that class. Of images with several labels the texts name all, and
    the probability is that of the worst mistake.
    """
    if "thresholds" in predictions:
        return describe_label_prediction(predictions, row, names)
    label, guess = predictions["labels"][row], predictions["classes"][row, 0]
    probability = float(predictions["probabilities"][row, 0])
    return format_label(label, names), format_label(guess, names), bool(guess == label), probability


def list_weight_headings(report: Mapping[str, Any]) -> list[str]:
    """Return the headings of the cells that `build_weight_rows` returns."""
    headline = abbreviate_metric(choose_report_headline(report))
    headings = [f"{part} {k}" for part in list_evaluated_parts(report) for k in ("loss", headline)]
    if "thresholds" in report:
        headings += [f"test {abbreviate_metric(name)}" for name in THRESHOLD_METRICS]
    else:
        headings.append("95 % interval")
    return headings + ([describe_views(report["views"])] if "test_views" in report else [])


def build_weight_rows(report: Mapping[str, Any], test_images: int | None) -> list[list[str]]:
    """Return a row for each of the weights that were evaluated: best, final, EMA and refit.

    Then comes the interval of the accuracy on so many `test_images`, and the accuracy on views of
    them if the run has evaluated some. Without validation there are no cells of it, and the best
    weights, which then are the last ones, have no row. Of several labels an image it is the mean
    average precision, and in place of the interval comes what the thresholds give.
    """
    headline = choose_report_headline(report)
    names = {"best": f"best epoch ({report.get('best_epoch')})", "final": "last epoch"}
    names |= {"ema": "EMA, last epoch", "refit": "refit on train + valid"}
    rows = []
    for key, name in names.items():
        if key in report.get("test", {}) and (key != "best" or chose_epoch(report)):
            parts = [report.get(part, {}).get(key) for part in list_evaluated_parts(report)]
            kinds = ("loss", headline)
            cells = [f"{p[k]:.4f}" if p and k in p else NO_VALUE for p in parts for k in kinds]
            if "thresholds" in report:
                cells += format_threshold_cells(report["thresholds"].get(key, {}))
            else:
                cells.append(format_interval(report["test"][key], test_images) or NO_VALUE)
            if "test_views" in report:
                accuracy = report["test_views"].get(key, {}).get(headline)
                cells.append(NO_VALUE if accuracy is None else f"{accuracy:.4f}")
            rows.append([name, *cells])
    return rows


def format_threshold_cells(tuned: Mapping[str, Any]) -> list[str]:
    """Return the THRESHOLD_METRICS of the test images, as texts; dashes without thresholds."""
    numbers = tuned.get("test") or {}
    values = (numbers.get(name) for name in THRESHOLD_METRICS)
    return [NO_VALUE if value is None else f"{value:.4f}" for value in values]


def list_evaluated_parts(report: Mapping[str, Any]) -> list[str]:
    """Return the splits that the weights of a report were evaluated on."""
    return ["test"] if report.get("valid") == {} else ["valid", "test"]


def format_interval(numbers: Mapping[str, float], images: int | None) -> str:
    """Return Wilson's 95 % interval of the accuracy in `numbers`, such as `0.9721 to 0.9893`.

    It is "" without an accuracy in [0, 1] or without the number of images.
    """
    accuracy = numbers.get("accuracy", -1.0)
    if not images or not 0 <= accuracy <= 1:
        return ""
    low, high = compute_wilson_interval(round(accuracy * images), images)
    return f"{low:.4f} to {high:.4f}"


def format_views(report: Mapping[str, Any]) -> str:
    """Return `; mirrored and shifted 94.00 %`: the test accuracy on views, or "" without it."""
    tests = report.get("test_views", {})
    numbers = tests.get("best") or tests.get("final") or {}
    if "accuracy" not in numbers:
        return ""
    return f"; {describe_views(report.get('views', ''))} {format_percent(numbers['accuracy'])}"


def describe_division(settings: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Return sentences on the fold that a run held out, and on sampling that was balanced."""
    sentences, fold = list[str](), settings.get("dataset.fold")
    if fold is not None:
        origin = record.get("data", {}).get("origin", {})
        part = next((p for p in ("test", "valid") if "fold" in str(origin.get(p))), "test")
        folds = settings.get("dataset.folds")
        sentences.append(f"Fold {fold} of {folds}, counted from 0, is the {part} split.")
    if settings.get("dataset.sampling") == "balanced":
        sentences.append("Each class came equally often in an epoch (balanced sampling).")
    return sentences
