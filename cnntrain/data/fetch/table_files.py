"""Read a CSV or a Parquet file as a table of texts, whose rows have the numbers that people see."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnntrain.data.labels import NO_LABEL, SEPARATOR
from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.files.writing import unescape_formula
from cnntrain.spec.knobs import normalise_unicode

PARQUET_START, ZIP_START = b"PAR1", b"PK\x03\x04"  # how a Parquet file and a spreadsheet begin
DELIMITERS = ",;\t"
EXPECTED = "a table in a CSV (UTF-8; with commas, semicolons or tabs) or in a Parquet file"
NAMED_ROWS = 5  # rows that an answer names; it counts the others


@dataclass(frozen=True)
class Table:
    """Columns of cells, which are texts without spaces around them; an empty one is "".

    `rows` are the numbers of the rows: of a CSV as a spreadsheet shows them, where the names of the
    columns are row 1; of a Parquet file counted from 1.
    """

    file: Path
    columns: Mapping[str, Sequence[str]]
    rows: Sequence[int]

    def format_rows(self, places: Sequence[int]) -> str:
        """Return the numbers of some rows, given by their places: `rows 3, 7 and 20 more`."""
        few = ", ".join(str(self.rows[place]) for place in places[:NAMED_ROWS])
        more = len(places) - NAMED_ROWS
        return f"row{'s' * (len(places) > 1)} {few}" + (f" and {more:,} more" if more > 0 else "")


def read_table(file: Path) -> Table:
    """Return the table in a file; raise SpecError, with the row, if it cannot be read."""
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
        if start == ZIP_START:
            raise SpecError(f"{file} is a spreadsheet or a zip", EXPECTED, "save it as a CSV")
        return read_parquet(file) if start == PARQUET_START else read_csv(file)
    except (OSError, csv.Error) as error:
        raise SpecError(f"{file} cannot be read: {error}", EXPECTED) from error


def read_csv(file: Path) -> Table:
    """Return the table in a CSV, whose first row has the names of the columns.

    The delimiter is the one that is there most often, outside of quotes. Rows without any text are
    passed over, and cells are without the ' that `escape_formula` put before them.
    """
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"line {line} of {file} is not in UTF-8", EXPECTED, "save it as “CSV UTF-8”"
        ) from error
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=re.sub('"[^"]*"', "", first).count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names, rows, kept = list[str](), list[int](), list[list[str]]()
    try:
        for row, cells in enumerate(reader, 1):
            cells = [unescape_formula(cell.strip()) for cell in cells]
            if not any(cells):
                continue
            if not names:
                names = check_names(file, cells)
                continue
            if any(cells[len(names) :]):
                raise SpecError(
                    f"row {row} of {file} has {len(cells)} cells, and there are {len(names)} "
                    f"columns: {format_column_names(names)}",
                    "a cell for each column; quotes round a text that has the delimiter in it",
                )
            rows.append(row)
            kept.append(cells + [""] * (len(names) - len(cells)))
    except csv.Error as error:
        raise csv.Error(f"{error} (line {reader.line_num})") from error
    columns = zip(*kept, strict=False) if kept else [()] * len(names)
    return Table(file, dict(zip(names, columns, strict=False)), rows)


def read_parquet(file: Path) -> Table:
    """Return the table in a Parquet file, without columns that are bytes or have fields."""
    import pyarrow
    from pyarrow import parquet, types

    try:
        own = parquet.read_schema(file)
        hidden = (types.is_binary, types.is_large_binary, types.is_struct, types.is_map)
        names = [field.name for field in own if not any(is_so(field.type) for is_so in hidden)]
        found = parquet.read_table(file, columns=names)
    except (pyarrow.ArrowException, NotImplementedError) as error:
        raise SpecError(f"{file} cannot be read: {error}", EXPECTED) from error
    columns = [[format_cell(value) for value in found[name].to_pylist()] for name in names]
    checked = check_names(file, names)
    return Table(file, dict(zip(checked, columns, strict=True)), range(1, found.num_rows + 1))


def format_cell(value: Any) -> str:
    """Return a value of a Parquet file as the text that a CSV would have.

    A whole number has no decimals, because libraries turn a column of whole numbers with gaps into
    floats. The texts of a list are divided by `|`; one without any is `none`.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list):
        return SEPARATOR.join(map(format_cell, value)) if value else NO_LABEL
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value).strip()


def check_names(file: Path, names: Iterable[str]) -> list[str]:
    """Return the names of columns in Unicode's form NFC; raise SpecError if one is there twice."""
    names = [normalise_unicode(name).strip() for name in names]
    for name in names:
        if name and names.count(name) > 1:
            raise SpecError(
                f"{file} has {names.count(name)} columns that are called {format_text(name)}",
                "a name for each column",
            )
    return names


def format_column_names(names: Iterable[str]) -> str:
    return ", ".join(format_text(name) for name in names if name)


def format_text(text: str) -> str:
    """Return a name or a cell as an answer shows it: printable, and not too long."""
    text = escape_unprintable(text)
    return text if len(text) <= 80 else f"{text[:79]}…"
