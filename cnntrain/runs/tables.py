"""Read history.csv and steps.csv, which a stranger may have written, as rows of numbers."""

import csv
from pathlib import Path

from cnntrain.errors import SpecError
from cnntrain.files.documents import explain_damage
from cnntrain.runs.directory import Run
from cnntrain.terminal.units import format_size

NumberRow = dict[str, float]
# The columns that pages and tables need.
HISTORY_COLUMNS = ("epoch", "step", "train.loss")
STEPS_COLUMNS = ("step", "train.loss", "learning_rate")
MAX_TABLE_BYTES, MAX_HEADER_BYTES = 2**30, 2**16


def read_table(file: Path, columns: tuple[str, ...]) -> list[NumberRow]:
    """Return the rows of a CSV file of numbers; none if the file is missing.

    A last row that is still being written is left out. Raises SpecError if the file lacks one of
    `columns`, or another row is not one of numbers.
    """
    if not file.is_file():
        return []
    if file.stat().st_size > MAX_TABLE_BYTES:
        raise explain_damage(file, f"it is larger than {format_size(MAX_TABLE_BYTES)}")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:  # Excel writes a byte order mark
            rows = list(csv.DictReader(lines))
            whole = not rows or ends_with_line(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise explain_damage(file, error) from None
    if missing := [column for column in columns if rows and column not in rows[0]]:
        raise explain_damage(file, f"it has no column {missing[0]}")
    table = []
    for number, row in enumerate(rows):
        try:
            cells = {key: parse_number(value) for key, value in row.items()}
            if not all(isinstance(cells.get(key, 0), int) for key in ("epoch", "step")):
                raise ValueError
            table.append(cells)
        except (ValueError, TypeError, AttributeError):  # a row may have fewer or more cells
            if whole or number + 1 < len(rows):
                raise explain_damage(file, f"row {number + 1} is no row of numbers") from None
    return table


def read_history(run: Run) -> list[NumberRow]:
    """Return the rows of history.csv, one an epoch; SpecError if it is damaged."""
    return read_table(run.history, HISTORY_COLUMNS)


def read_history_so_far(run: Run) -> list[NumberRow]:
    """Return the whole rows of history.csv; none if it is damaged."""
    try:
        return read_table(run.history, ("epoch",))
    except SpecError:
        return []


def read_steps(run: Run) -> list[NumberRow]:
    """Return the rows of steps.csv, one every `log_every` steps; SpecError if it is damaged."""
    return read_table(run.steps, STEPS_COLUMNS)


def check_columns(file: Path, columns: tuple[str, ...]) -> None:
    """Raise SpecError if a CSV file, to which rows are to be added, lacks one of `columns`.

    Its rows may be damaged: training cuts the file to the length that its checkpoint holds.
    """
    if file.is_file():
        with file.open("rb") as content:
            first = content.readline(MAX_HEADER_BYTES).decode("utf-8-sig", "replace")
        names = next(csv.reader([first]), [])
        if first and (missing := [column for column in columns if column not in names]):
            raise explain_damage(file, f"it has no column {missing[0]}")


def ends_with_line(file: Path) -> bool:
    """Whether the last line of a file is whole."""
    with file.open("rb") as content:
        content.seek(-1, 2)
        return content.read() == b"\n"


def parse_number(written: str) -> float:
    """Return the number in a text: an int if it is whole, else a float."""
    return int(written) if written.isdecimal() and len(written) < 18 else float(written)
