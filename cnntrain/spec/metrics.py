"""The numbers of a run that people choose by: which way each is better, and what breaks a tie."""

HIGHER_IS_BETTER = ("accuracy", "balanced_accuracy", "macro_f1")  # of these more is better


def higher_is_better(number: str) -> bool:
    """Whether more is better of a number such as `valid.macro_f1`."""
    return number.rpartition(".")[2] in HIGHER_IS_BETTER


def choose_tie_breaker(number: str) -> str:
    """The number that decides where two are equal: the loss of the same split, or itself."""
    return f"{number.partition('.')[0]}.loss" if higher_is_better(number) else number
