"""Tables in the terminal, no wider than it is."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cnntrain.terminal.units import abbreviate_number

PIPE_WIDTH = 100  # columns where there is no terminal
NARROW_PIPE_WIDTH = 80  # the same for tables of layers, which fit any terminal
MIN_NAME_WIDTH, MAX_WANTED_NAME = 8, 22  # columns of the name of a layer


def make_console(pipe_width: int = PIPE_WIDTH) -> Console:
    """Return the console of standard output: as wide as the terminal, or `pipe_width`."""
    console = Console()
    return console if console.is_terminal else Console(width=pipe_width)


def render_as_text(shown: RenderableType) -> str:
    """Return what rich would print into a pipe, also in a notebook, where it prints HTML."""
    text = io.StringIO()
    Console(file=text, width=PIPE_WIDTH, force_jupyter=False, color_system=None).print(shown)
    return text.getvalue()


def print_truncated(console: Console, text: Text) -> None:
    """Print lines, each cut at the width of the terminal."""
    console.print(text, no_wrap=True, overflow="ellipsis", highlight=False)


def print_unwrapped_lines(lines: Sequence[str]) -> None:
    """Print lines without wrapping them, so that commands and names can be copied."""
    make_console().print(Text("\n".join(lines)), soft_wrap=True, highlight=False)


def make_layer_table(rows: Sequence[Any], width: int) -> Table:
    """Return a table with a row a layer; receptive field and stride are in pixels of the input.

    It is `width` columns wide at most. Where there is no room, stride and field are left out, and
    names of layers lose their beginnings.
    """
    columns = {
        "what it does": [row.what for row in rows],
        "output": ["x".join(map(str, row.output)) for row in rows],
        "params": [f"{row.parameters:,}" for row in rows],
        "mult-adds": [str(abbreviate_number(row.multiply_adds) or "?") for row in rows],
        "field": [format_pixels(row.receptive_field) for row in rows],
        "stride": [format_pixels(row.stride) for row in rows],
    }
    names = [row.layer for row in rows]
    wanted = min(max(map(len, names)), MAX_WANTED_NAME)
    while (room := measure_room(columns, width)) < wanted and "field" in columns:
        columns.popitem()
    room = max(room, MIN_NAME_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("layer", no_wrap=True)
    for heading in columns:
        right = heading != "what it does"
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for name, *cells in zip(names, *columns.values(), strict=True):
        table.add_row(name if len(name) <= room else f"…{name[1 - room :]}", *cells)
    return table


def measure_room(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """Return how many of `width` terminal columns are left for a column before these ones."""
    return width - sum(max(map(len, [name, *cells])) + 1 for name, cells in columns.items())


def format_pixels(axes: Sequence[float] | None) -> str:
    """Return a size in pixels as 7, or as 1x7 if the axes differ."""
    parts = [f"{axis:g}" for axis in axes or ()]
    return "x".join(parts if len(set(parts)) > 1 else parts[:1])
