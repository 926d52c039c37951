"""Photos that a table lists, with their labels: a CSV or a Parquet file."""

from pathlib import Path
from typing import Any

from cnntrain.data.fetch.table_columns import ColumnNames
from cnntrain.data.fetch.table_source import read_table_source
from cnntrain.data.source import Source
from cnntrain.spec.knobs import Name
from cnntrain.spec.places import find_table, find_table_folder


def table(
    data_dir: Path,
    manual_dir: Path | None,
    *,
    table: str,
    folder: str | None,
    file_column: str,
    label_column: str,
    label_columns: list[Name] | None,
    split_column: str | None,
    weight_column: str | None,
) -> Source:
    """Return the photos of a table, a row for each, in its order.

    The columns say the file, its label, and optionally its part (train, valid or test) and its
    weight in the training loss; `auto` finds a column by its usual names. Paths are relative to
    `folder`, or without it to the folder of the table. A relative `table` or `folder` that does not
    exist is looked for in `data_dir`. `label_columns` name a column of 0 and 1 for each class in
    place of the label. With them, or with several labels in a cell, labels are (N, classes). Raises
    SpecError, with the numbers of the rows, for whatever is wrong with the table.
    """
    file = find_table(table, data_dir)
    root = file.parent if folder is None else find_table_folder(folder, data_dir)
    classes = None if label_columns is None else tuple(map(str, label_columns))
    names = ColumnNames(file_column, label_column, split_column, weight_column, classes)
    return read_table_source(file, root, names)


def has_several_labels(data_dir: Path, manual_dir: Path | None, **knobs: Any) -> bool:
    """Return whether the photos of a table may have several labels; knobs are those of `table`."""
    return table(data_dir, manual_dir, **knobs).labels.ndim == 2
