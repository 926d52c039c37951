"""Tables in the terminal, no wider than it is."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnntrain.terminal.units import abbreviate_number

PIPE_WIDTH = 100  # columns where there is no terminal


def make_console() -> Console:
    """Return the console of standard output: of the terminal's width, or 100 columns for a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def print_truncated(console: Console, text: Text) -> None:
    """Print lines, each cut at the width of the terminal."""
    console.print(text, no_wrap=True, overflow="ellipsis", highlight=False)


def make_layer_table(rows: Sequence[Any]) -> Table:
    """Return a table with a row a layer; receptive field and stride are in pixels of the input."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="ellipsis")  # in a narrow terminal, this column is cut
    table.add_column("kind", no_wrap=True)
    for heading in ("output", "parameters", "mult-adds", "field", "stride"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        kind = f"{row.kind} {row.window}" if row.window else row.kind
        table.add_row(
            row.layer,
            kind,
            "x".join(map(str, row.output)),
            f"{row.parameters:,}",
            "?" if row.multiply_adds is None else abbreviate_number(row.multiply_adds),
            format_pixels(row.receptive_field),
            format_pixels(row.stride),
        )
    return table


def format_pixels(axes: Sequence[float] | None) -> str:
    """Return a size in pixels as 7, or as 1x7 if the axes differ."""
    parts = [f"{axis:g}" for axis in axes or ()]
    return "x".join(parts if len(set(parts)) > 1 else parts[:1])
