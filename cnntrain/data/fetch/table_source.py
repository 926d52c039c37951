"""A table of photos as a source: a row for each, with its file, its label, its part, its weight."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cnntrain.data.fetch.layouts import PARTS
from cnntrain.data.fetch.table_columns import (
    ColumnNames,
    Labels,
    find_column,
    read_cells,
    read_labels,
    read_parts,
    read_weights,
)
from cnntrain.data.fetch.table_files import Table, format_text, read_table
from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.source import Source
from cnntrain.errors import SpecError, escape_unprintable, find_nearest
from cnntrain.spec.knobs import normalise_unicode

NAMED_FILES = 3  # missing files that an answer names


def read_table_source(file: Path, root: Path, names: ColumnNames) -> Source:
    """Return the photos that a table lists, in its order; its paths are relative to `root`.

    Raises SpecError, with the rows, for whatever is wrong with the table: see `table_columns.py`,
    `keep_first_rows`, `find_files` and `check_classes`.
    """
    status = file.stat()
    return read_stamped_table(file, (status.st_size, status.st_mtime_ns), root.absolute(), names)


@functools.lru_cache(1)  # a run asks twice: before TensorFlow loads, and for its images
def read_stamped_table(file: Path, stamp: object, root: Path, names: ColumnNames) -> Source:
    """Return what `read_table_source` does; `stamp` changes with the file."""
    table = read_table(file)
    if not table.rows:
        raise SpecError(
            f"{file} has no rows below the names of its columns", "a row for each photo"
        )
    file_column = find_column(table, "file", names.file)
    split_column = find_column(table, "split", names.split)
    weight_column = find_column(table, "weight", names.weight)
    assert file_column is not None
    labels, label_column = read_labels(table, names)
    parts, weights = read_parts(table, split_column), read_weights(table, weight_column)
    paths = find_files(table, file_column, root)
    kept = keep_first_rows(
        table, [os.path.normpath(root / path) for path in paths], labels, parts, weights
    )
    paths, parts = [paths[place] for place in kept], parts[kept]
    labels = replace(labels, numbers=labels.numbers[kept])
    weights = None if weights is None else weights[kept]
    check_classes(table, labels, parts, kept)
    columns = {"file": file_column, "label": label_column, "split": split_column,
               "weight": weight_column}  # fmt: skip
    notes = [
        describe_columns(columns),
        *describe_weights(weights),
        *describe_repeats(len(table.rows) - len(kept)),
        *describe_similar_classes(labels.class_names),
    ]
    return Source(
        Photos([escape_unprintable(path) for path in paths], FileReader(str(root), paths)),
        labels.numbers,
        labels.class_names,
        {part: rows for part in PARTS if len(rows := np.flatnonzero(parts == part))},
        f"the column {format_text(split_column)}" if split_column else "all of the table",
        weights=weights,
        groups={
            name: np.array(cells, object)[kept]
            for name, cells in table.columns.items()
            if name and name not in columns.values()
        },
        notes=[f"{file.name}: {note}" for note in notes],
    )


def find_files(table: Table, column: str, root: Path) -> list[str]:
    """Return the path of each photo, absolute or relative to `root`.

    One that is not there as it is written may be there with `/` for `\\`, or in another form of
    Unicode. Raises SpecError, which counts those that are missing and names the first.
    """
    cells = read_cells(table, column)
    found = [find_spelling(root, cell) for cell in cells]
    if missing := [place for place, path in enumerate(found) if path is None]:
        few = ", ".join(
            f"{format_text(cells[n])} (row {table.rows[n]})" for n in missing[:NAMED_FILES]
        )
        more = len(missing) - NAMED_FILES
        what = "a file that is" if len(missing) == 1 else f"{len(missing):,} files that are"
        raise SpecError(
            f"{table.file} names {what} not there: {few}"
            + (f" and {more:,} more" if more > 0 else ""),
            f"paths that are absolute or relative to {root}",
            suggest_ending(root / cells[missing[0]]) or "dataset.folder=/where/the/photos/are",
        )
    return [path for path in found if path is not None]


def find_spelling(root: Path, path: str) -> str | None:
    """Return how the path of a file that exists is written, shortened; None if there is none."""
    slashed = path.replace("\\", "/")
    for spelling in (path, slashed, normalise_unicode(slashed), normalise_unicode(slashed, "NFD")):
        if os.path.isfile(os.path.join(root, spelling)):  # noqa: PTH113, PTH118 (a million times)
            return os.path.normpath(spelling)
    return None


def suggest_ending(path: Path) -> str | None:
    """Return the hint that a photo's name only lacks its ending; None if it does not."""
    try:
        found = sorted(file.name for file in path.parent.iterdir() if file.stem == path.name)
    except (OSError, ValueError):
        found = []
    name = escape_unprintable(found[0]) if found else ""
    return f"file names with their endings: {name} is there" if found else None


def keep_first_rows(
    table: Table,
    paths: Sequence[str],
    labels: Labels,
    parts: np.ndarray,
    weights: np.ndarray | None,
) -> np.ndarray:
    """Return the places (n,) of the rows, without those that repeat an earlier one.

    `paths` are absolute. Raises SpecError if a photo is there twice and its label, part or weight
    differ.
    """
    first, kept = dict[str, int](), list[int]()
    columns = {"labels": labels.numbers, "parts": parts, "weights": weights}
    for place, path in enumerate(paths):
        known = first.setdefault(path, place)
        if known == place:
            kept.append(place)
            continue
        for what, values in columns.items():
            if values is not None and np.any(values[known] != values[place]):
                shown = os.path.relpath(path, table.file.parent.absolute())
                raise SpecError(
                    f"{table.file} has {format_text(shown)} with two {what}, in "
                    f"{table.format_rows([known, place])}",
                    "one row for each photo; several labels in one cell, with | between them"
                    if what == "labels"
                    else "one row for each photo",
                )
    return np.array(kept)


def check_classes(table: Table, labels: Labels, parts: np.ndarray, kept: np.ndarray) -> None:
    """Raise SpecError for a class with one image that trains, or with none beside others.

    `parts` (n,) are those of the rows of `labels`, whose places in the table are `kept` (n,). A
    table without training images is for evaluation, and may have any classes.
    """
    if not (parts == "train").any():
        return
    for number, name in enumerate(labels.class_names):
        rows = labels.find_rows(number)
        trained = rows[parts[rows] == "train"]
        if len(trained) and len(rows) > 1:
            continue
        what = "one image" if len(rows) == 1 else "no image that trains"
        where = f", in {table.format_rows(kept[rows].tolist())}" if len(rows) else ""
        others = [other for other in labels.class_names if other != name]
        similar = find_nearest(name, others) if len(rows) == 1 and not name.isdigit() else None
        raise SpecError(
            f"the class {format_text(name)} of {table.file} has {what}{where}",
            "at least two images of each class, of which one trains",
            f"the label {similar}, if it is mistyped; else more images, or leave the row out"
            if similar
            else None,
        )


def describe_columns(columns: Mapping[str, str | None]) -> str:
    """Return which column says what, such as `file from path, label from breed`."""
    return ", ".join(f"{kind} from {format_text(name)}" for kind, name in columns.items() if name)


def describe_weights(weights: np.ndarray | None) -> Iterator[str]:
    """Yield a note on the weights, if there are any."""
    if weights is not None:
        yield (
            f"images weigh from {weights.min():g} to {weights.max():g} in the training loss, and "
            "alike in every evaluation"
        )


def describe_repeats(count: int) -> Iterator[str]:
    """Yield a note on rows that repeat another one, if there are any."""
    if count:
        are = ("s repeat", "are") if count > 1 else (" repeats", "is")
        yield f"{count:,} row{are[0]} another row, and {are[1]} left out"


def describe_similar_classes(names: Sequence[str]) -> Iterator[str]:
    """Yield a note for each class that differs from another one in capitals only."""
    first = dict[str, str]()
    for name in names:
        if (other := first.setdefault(name.casefold(), name)) != name:
            yield f"the classes {other} and {name} differ in capitals only"
