"""The metrics that runs and epochs are ranked by: which way is better, and what breaks a tie.

Three are better when higher. Every other metric is taken for a cost, such as a loss: a new one that
is better when higher must stand in HIGHER_IS_BETTER.
"""

from collections.abc import Mapping

HIGHER_IS_BETTER = ("accuracy", "balanced_accuracy", "macro_f1")


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
