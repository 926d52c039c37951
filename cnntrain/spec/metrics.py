"""The numbers of a run that people choose by: which way each is better, and what breaks a tie."""

RISING = ("accuracy", "balanced_accuracy", "macro_f1")  # of these more is better


def rises(number: str) -> bool:
    """Whether more is better of a number such as `valid.macro_f1`."""
    return number.rpartition(".")[2] in RISING


def tie_breaker(number: str) -> str:
    """The number that decides where two are equal: the loss of the same split, or itself."""
    return f"{number.partition('.')[0]}.loss" if rises(number) else number
