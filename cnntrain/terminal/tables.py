"""Tables in the terminal: its width, its lines, numbers in few digits."""

from rich.console import Console
from rich.text import Text

WIDTH = 100  # of what is no terminal
NONE = "–"


def terminal() -> Console:
    """The terminal, or for a pipe one of 100 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def say(console: Console, text: Text) -> None:
    """Print lines, each cut where the terminal ends."""
    console.print(text, no_wrap=True, overflow="ellipsis", highlight=False)


def short(number: int | None) -> str | None:
    """Four digits: 138.4 M for 138,357,544."""
    if number is None:
        return None
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        value = number / 10**power
        if float(f"{value:.4g}") >= 1:
            digits = max(0, 3 - int(f"{value:.3e}".partition("e")[2]))
            return f"{value:.{digits}f} {prefix}"
    return str(number)
