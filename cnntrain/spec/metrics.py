"""The metrics that runs and epochs are ranked by: which way is better, and what breaks a tie.

Some are better when higher. Every other metric is taken for a cost, such as a loss: a new one that
is better when higher must stand in HIGHER_IS_BETTER.
"""

from collections.abc import Mapping
from typing import Any

HIGHER_IS_BETTER = (
    "accuracy", "balanced_accuracy", "macro_f1", "mean_average_precision", "exact_match",
    "micro_f1",
)  # fmt: skip
HALF = 0.5  # the probability from which on a class is found that validation chose none for
# The metrics that `monitor` may name where an image has one label, and where it may have several.
# The first is what `auto` means.
MONITORS = (
    "valid.accuracy", "valid.loss", "valid.balanced_accuracy", "valid.macro_f1", "train.accuracy",
    "train.loss",
)  # fmt: skip
SEVERAL_LABELS_MONITORS = (
    "valid.mean_average_precision", "valid.loss", "valid.exact_match", "valid.micro_f1",
    "valid.macro_f1", "train.exact_match", "train.loss",
)  # fmt: skip

# What a comparison has columns of, beside the usual metrics, if a run has several labels an image.
SEVERAL_LABELS_COLUMNS = (
    "valid.mean_average_precision", "valid.exact_match", "valid.micro_f1",
    "test.mean_average_precision", "test.exact_match", "test.micro_f1", "train.exact_match",
)  # fmt: skip


def choose_headlines(row: Mapping[str, float]) -> tuple[str, str]:
    """Return the metrics of train and of valid that a row of a history is known by.

    They are the accuracy, or exact match and mean average precision where images may have several
    labels.
    """
    if "train.exact_match" in row:
        return "exact_match", "mean_average_precision"
    return "accuracy", "accuracy"


def list_metric_curves(row: Mapping[str, float]) -> dict[str, list[str]]:
    """Return the metrics that are drawn over the epochs beside the loss, by the chart's title."""
    if "train.exact_match" in row:
        return {
            "mean average precision": ["valid.mean_average_precision"],
            "exact match": ["train.exact_match", "valid.exact_match"],
        }
    return {"accuracy": ["train.accuracy", "valid.accuracy"]}


def choose_report_headline(report: Mapping[str, Any]) -> str:
    """Return the metric that the weights of a report are known by: see `choose_headlines`."""
    return "mean_average_precision" if "thresholds" in report else "accuracy"


def name_metric(metric: str) -> str:
    """Return the name of a metric for people, such as `mean average precision`."""
    return metric.replace("_", " ")


def abbreviate_metric(metric: str) -> str:
    """Return the name of a metric for the head of a column: mAP is mean average precision."""
    return name_metric(metric.replace("mean_average_precision", "mAP").replace("_f1", "_F1"))


def higher_is_better(metric: str) -> bool:
    """Whether a higher value of a metric such as `valid.macro_f1` is better."""
    return metric.rpartition(".")[2] in HIGHER_IS_BETTER


def choose_tie_breaker(metric: str) -> str:
    """Return the metric that breaks a tie: the loss of the same split, or `metric` itself."""
    return f"{metric.partition('.')[0]}.loss" if higher_is_better(metric) else metric


def compute_cost(metric: str, value: float) -> float:
    """Return `value`, negated if a higher one is better, so that a lower cost always is."""
    return -value if higher_is_better(metric) else value


def rank_by(metric: str, values: Mapping[str, float]) -> tuple[float, float]:
    """Return a key that sorts rows of metrics, best first: by `metric`, then its tie-breaker."""
    return compute_cost(metric, values[metric]), values.get(choose_tie_breaker(metric), 0)
