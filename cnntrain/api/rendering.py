"""Tables as HTML for a notebook, and as a DataFrame where pandas is there."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.util import find_spec
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

TABLE_STYLE = "font-variant-numeric: tabular-nums; border-collapse: collapse"


def make_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a pandas DataFrame; without pandas as a list of dicts."""
    if find_spec("pandas") is None:
        return [dict(row) for row in rows]
    import pandas as pd

    return pd.DataFrame(list(rows))


def render_table_as_html(table: Table) -> str:
    """Return a table of rich as an HTML table."""
    headings = [strip_markup(column.header) for column in table.columns]
    columns = [[strip_markup(cell) for cell in column.cells] for column in table.columns]
    return format_html_table([headings, *map(list, zip(*columns, strict=True))])


def strip_markup(cell: RenderableType) -> str:
    """Return the text of a cell, without colours."""
    return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)


def format_html_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts, of which the first are headings, as an HTML table."""
    first, *others = rows
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in first)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in others]
    return f'<table style="{TABLE_STYLE}"><tr>{"</tr><tr>".join(lines)}</tr></table>'


def format_html_lines(lines: Sequence[str]) -> str:
    """Return lines of text as HTML."""
    return "".join(f"<div>{escape(line)}</div>" for line in lines)
