"""Append rows to history.csv and steps.csv; read them, whoever wrote them, as rows of numbers."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cnntrain.errors import SpecError
from cnntrain.files.documents import explain_damage
from cnntrain.files.writing import open_existing
from cnntrain.terminal.units import format_size

if TYPE_CHECKING:
    from cnntrain.runs.directory import Run

NumberRow = dict[str, float]
# The columns that pages and tables need.
HISTORY_COLUMNS = ("epoch", "step", "train.loss")
STEPS_COLUMNS = ("step", "train.loss", "learning_rate")
MAX_TABLE_BYTES, MAX_HEADER_BYTES = 2**30, 2**16


class TableWriter:
    """A CSV file that stays open for rows to be appended; each row is in the file at once.

    A file that is new begins with a header, of the first row's columns. One that an older version
    began keeps its columns. No row goes through a link, nor into a file that has other names by
    hard links, which keep the old content.
    """

    def __init__(self, path: Path):
        self.path = path
        self.file: IO[str] | None = None
        self.columns: list[str] = []  # of the file's header; none before the first row

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append a row; raise OSError if the disk is full, SpecError if the file is a link."""
        file = self.open_file()
        begins = not self.columns
        self.columns = self.columns or [*row]
        writer = csv.DictWriter(file, self.columns, "", extrasaction="ignore")
        if begins:
            writer.writeheader()
        writer.writerow(row)
        file.flush()

    def open_file(self) -> IO[str]:
        """Return the open file; another one if it was removed or has got a second name."""
        if self.file is not None and os.fstat(self.file.fileno()).st_nlink == 1:
            return self.file
        self.close()
        self.file = open_existing(self.path, "a+", newline="", encoding="utf-8")
        self.file.seek(0)
        first = self.file.readline().removeprefix("\ufeff")
        self.columns = next(csv.reader([first]))
        return self.file

    def close(self) -> None:
        """Close the file; another row opens it again."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


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


def read_history(run: "Run") -> list[NumberRow]:
    """Return the rows of history.csv, one an epoch; SpecError if it is damaged."""
    return read_table(run.history, HISTORY_COLUMNS)


def read_history_so_far(run: "Run") -> list[NumberRow]:
    """Return the whole rows of history.csv; none if it is damaged."""
    try:
        return read_table(run.history, ("epoch",))
    except SpecError:
        return []


def read_steps(run: "Run") -> list[NumberRow]:
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
