"""What the columns of a table mean: which are files, labels, parts and weights, and what they say.

Columns are found by the names that people use, or named by settings. Every answer to a wrong cell
has the numbers of its rows.
"""

import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from cnntrain.data.fetch.layouts import PARTS, recognise_part
from cnntrain.data.fetch.table_files import Table, format_column_names, format_text
from cnntrain.data.labels import NO_LABEL, SEPARATOR
from cnntrain.errors import SpecError, escape_unprintable, find_nearest
from cnntrain.spec.knobs import normalise_unicode
from cnntrain.spec.overrides import spell_names

T = TypeVar("T")
Kind = Literal["file", "label", "split", "weight"]
# The names that people give to the columns, without capitals, spaces and marks.
USUAL_NAMES: Mapping[Kind, Sequence[str]] = {
    "file": ("file", "filename", "path", "filepath", "image", "imagepath"),
    "label": ("label", "labels", "class", "target"),
    "split": ("split", "part", "subset"),
    "weight": ("weight", "weights", "sampleweight"),
}


@dataclass(frozen=True)
class ColumnNames:
    """The names of columns as the settings say them.

    `auto` is found by its usual names, None is not read. With `label_columns`, one for each class,
    `label` is not read either.
    """

    file: str
    label: str
    split: str | None
    weight: str | None
    label_columns: tuple[str, ...] | None


@dataclass(frozen=True)
class Labels:
    """The class of each row (N,) int32, or its several classes (N, K) uint8 of 0 and 1."""

    numbers: np.ndarray
    class_names: tuple[str, ...]

    def find_rows(self, label: int) -> np.ndarray:
        """Return the places (n,) of the rows that have a class."""
        own = self.numbers[:, label] if self.numbers.ndim == 2 else self.numbers == label
        return np.flatnonzero(own)


def find_column(table: Table, kind: Kind, asked: str | None) -> str | None:
    """Return the name of the column of a kind, or None if it is not to be read or not there.

    Raises SpecError for a name that the table has not, for a file or label that is not found, and
    where two columns may be meant.
    """
    setting, names = f"dataset.{kind}_column", format_column_names(table.columns)
    if asked is None:
        return None
    if asked != "auto":
        return check_column(table, asked, setting)
    usual = USUAL_NAMES[kind]
    found = [name for name in table.columns if simplify_name(name) in usual]
    if len(found) > 1:
        raise SpecError(
            f"{table.file} has {format_column_names(found)}, and each may be the {kind}",
            "one of them",
            f"{setting}={found[0]}",
        )
    if not found and kind in ("file", "label"):
        words = f"one column that is called {', '.join(usual[:-1])} or {usual[-1]}"
        raise SpecError(
            f"{table.file} has no column for the {kind}, only {names}",
            f"{words}; the first row has the names",
            (kind == "label" and suggest_class_columns(table)) or f"{setting}=…",
        )
    return found[0] if found else None


def suggest_class_columns(table: Table) -> str | None:
    """Return the setting for columns that have 0 and 1 for each class, if there are several."""
    usual = {*itertools.chain.from_iterable(USUAL_NAMES.values())}
    found = [
        name
        for name, cells in table.columns.items()
        if name and simplify_name(name) not in usual and None not in map(parse_truth, cells)
    ]
    return shlex.quote(f"dataset.label_columns={spell_names(found)}") if len(found) > 1 else None


def simplify_name(name: str) -> str:
    """Return the name of a column as USUAL_NAMES has it."""
    return re.sub(r"[\W_]+", "", name).lower()


def check_column(table: Table, asked: str, setting: str) -> str:
    """Return the name of a column; raise SpecError, with those that exist, if it is not there."""
    name = normalise_unicode(asked).strip()
    if name not in table.columns:
        nearest = find_nearest(name, table.columns)
        raise SpecError(
            f"{setting} is {format_text(name)}, and {table.file} has no such column",
            f"one of its columns: {format_column_names(table.columns)}",
            f"{setting}={nearest}" if nearest and not setting.endswith("s") else None,
        )
    return name


def read_cells(table: Table, column: str) -> Sequence[str]:
    """Return the cells of a column; raise SpecError, with the rows, if some are empty."""
    cells = table.columns[column]
    if empty := [place for place, cell in enumerate(cells) if not cell]:
        raise SpecError(
            f"the column {format_text(column)} of {table.file} is empty in "
            f"{table.format_rows(empty)}",
            "a value in every row",
        )
    return cells


def convert_cells(
    table: Table,
    column: str,
    convert: Callable[[str], T | None],
    expected: str,
    hint: str | None = None,
) -> list[T]:
    """Return what the cells of a column say (N,); each text is converted once.

    Raises SpecError, with the rows, for empty cells and for those that `convert` makes None of.
    """
    cells = read_cells(table, column)
    converted = {cell: convert(cell) for cell in set(cells)}
    known = {cell: value for cell, value in converted.items() if value is not None}
    if wrong := [place for place, cell in enumerate(cells) if cell not in known]:
        raise SpecError(
            f"the column {format_text(column)} of {table.file} is "
            f"{format_text(cells[wrong[0]])} in {table.format_rows(wrong)}",
            expected,
            hint,
        )
    return [known[cell] for cell in cells]


def read_labels(table: Table, names: ColumnNames) -> tuple[Labels, str]:
    """Return the labels of the rows, and the column or columns that they are from, in words.

    A cell may have several labels with `|` between them. Raises SpecError for empty and wrong
    cells, and for fewer than two classes.
    """
    if names.label_columns is not None:
        labels = read_class_columns(table, names.label_columns)
        source = f"{len(names.label_columns)} columns"
    else:
        column = find_column(table, "label", names.label)
        assert column is not None
        labels, source = read_label_column(table, column), column
    if len(labels.class_names) < 2:
        raise SpecError(
            f"{table.file} has one class, {format_text(labels.class_names[0])}", "two or more"
        )
    return labels, source


def read_label_column(table: Table, column: str) -> Labels:
    """Return the labels in a column; they are several a row if a cell has `|` in it.

    Then a cell `none` stands for a photo that shows no class.
    """
    expected = f"a label on both sides of each {SEPARATOR}, and {NO_LABEL} alone"
    rows = convert_cells(table, column, split_labels, expected)
    are_several = any(len(row) > 1 for row in rows)
    if are_several:
        rows = [() if row == (NO_LABEL,) else row for row in rows]
    names = sort_class_names({name for row in set(rows) for name in row})
    numbers = {name: number for number, name in enumerate(names)}
    shown = tuple(map(escape_unprintable, names))
    if not are_several:
        return Labels(np.array([numbers[name] for [name] in rows], np.int32), shown)
    hot = np.zeros((len(rows), len(names)), np.uint8)
    for values, row in zip(hot, rows, strict=True):
        values[[numbers[name] for name in row]] = 1
    return Labels(hot, shown)


def split_labels(cell: str) -> tuple[str, ...] | None:
    """Return the labels in a cell, in Unicode's form NFC.

    Returns None if one is empty, or says that there is none beside others.
    """
    labels = tuple(normalise_unicode(label).strip() for label in cell.split(SEPARATOR))
    is_clear = all(labels) and (len(labels) == 1 or NO_LABEL not in labels)
    return labels if is_clear else None


def sort_class_names(names: Iterable[str]) -> list[str]:
    """Return class names in their order: numbers by their value if all are numbers, else texts."""
    texts = sorted(names)
    if all(re.fullmatch(r"-?\d+(\.\d+)?", name, re.ASCII) for name in texts):
        return sorted(texts, key=float)
    return texts


def read_class_columns(table: Table, columns: Sequence[str]) -> Labels:
    """Return the labels in a column of 0 and 1 for each class, named like the class."""
    setting = "dataset.label_columns"
    names = [check_column(table, column, setting) for column in columns]
    if len(names) < 2:
        raise SpecError(f"{setting} is {names}", "two classes or more")
    if twice := [name for name in names if names.count(name) > 1]:
        raise SpecError(f"{setting} has {twice[0]} twice", "each class once")
    expected = "1 where a photo shows the class, else 0"
    hot = [convert_cells(table, name, parse_truth, expected) for name in names]
    labels = np.array(hot, np.uint8).T  # (N, K)
    return Labels(np.ascontiguousarray(labels), tuple(map(escape_unprintable, names)))


def parse_truth(text: str) -> int | None:
    """Return 1 or 0 for what says whether a photo shows a class; None for another text."""
    return {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}.get(text.lower())


def read_parts(table: Table, column: str | None) -> np.ndarray:
    """Return the part of each row (N,), `train`, `valid` or `test`; all train without a column.

    Raises SpecError, with the rows, for a name that means no part.
    """
    if column is None:
        return np.full(len(table.rows), "train")
    expected = f"{', '.join([*PARTS][:-1])} or {[*PARTS][-1]}, as folders may be called"
    hint = "dataset.split_column=null, if the column says something else"
    return np.array(convert_cells(table, column, recognise_part, expected, hint))


def read_weights(table: Table, column: str | None) -> np.ndarray | None:
    """Return the weights of the rows (N,) float32; None without a column.

    Raises SpecError, with the rows, for what is no number above 0.
    """
    if column is None:
        return None
    expected = "numbers above 0, up to 3e38, with a point before the decimals"
    hint = "dataset.weight_column=null counts all alike"
    return np.array(convert_cells(table, column, parse_weight, expected, hint), np.float32)


def parse_weight(text: str) -> float | None:
    """Return a weight, or None if a text is none, or so large or small that float32 has it not."""
    try:
        weight = float(text)
    except ValueError:
        return None
    limits = np.finfo(np.float32)
    return weight if float(limits.tiny) <= weight <= float(limits.max) else None
