"""The numbers of a run that people choose by: which way each is better, and what breaks a tie.

Three numbers are better when higher. Every other one is taken for a cost, such as a loss, of which
less is better: a new metric of which more is better must stand in HIGHER_IS_BETTER.
"""

from collections.abc import Mapping

HIGHER_IS_BETTER = ("accuracy", "balanced_accuracy", "macro_f1")


def higher_is_better(number: str) -> bool:
    """Whether more is better of a number such as `valid.macro_f1`; of one not listed less is."""
    return number.rpartition(".")[2] in HIGHER_IS_BETTER


def choose_tie_breaker(number: str) -> str:
    """The number that decides where two are equal: the loss of the same split, or itself."""
    return f"{number.partition('.')[0]}.loss" if higher_is_better(number) else number


def compute_cost(number: str, value: float) -> float:
    """Return a value of a number with the sign by which less of it is better."""
    return -value if higher_is_better(number) else value


def rank_by(number: str, values: Mapping[str, float]) -> tuple[float, float]:
    """Return a key that sorts rows of numbers the best first: by `number`, then its tie-breaker."""
    return compute_cost(number, values[number]), values.get(choose_tie_breaker(number), 0)
