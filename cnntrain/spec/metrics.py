"""The metrics of a run that people choose by: which way each is better, and what breaks a tie."""

from collections.abc import Mapping

HIGHER_IS_BETTER = ("accuracy", "balanced_accuracy", "macro_f1")  # of these more is better


def higher_is_better(metric: str) -> bool:
    """Whether more is better of a metric such as `valid.macro_f1`."""
    return metric.rpartition(".")[2] in HIGHER_IS_BETTER


def choose_tie_breaker(metric: str) -> str:
    """The metric that decides where two are equal: the loss of the same split, or itself."""
    return f"{metric.partition('.')[0]}.loss" if higher_is_better(metric) else metric


def compute_cost(metric: str, value: float) -> float:
    """Return a value of a metric with the sign by which less of it is better."""
    return -value if higher_is_better(metric) else value


def rank_by(metric: str, values: Mapping[str, float]) -> tuple[float, float]:
    """Return a key that sorts rows of metrics the best first: by `metric`, then its tie-breaker."""
    return compute_cost(metric, values[metric]), values.get(choose_tie_breaker(metric), 0)
