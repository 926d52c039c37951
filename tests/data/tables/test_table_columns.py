"""Columns are found and understood, or each mistake is answered with its rows."""

import shlex

import numpy as np
import pytest

from cnntrain.data.fetch.table_columns import ColumnNames
from helpers.tables import make_rows, refuse


@pytest.mark.parametrize("file", ["file", "Filename", "FILE_NAME", "path", "image", "image path"])
@pytest.mark.parametrize("label", ["label", "Class", "target"])
def test_columns_are_found_by_the_names_that_people_use(read, file, label):
    rows = [["x", *row] for row in make_rows()]
    assert len(read(rows, ["", file, label]).labels) == 30


def test_columns_may_be_named(read):
    names = ColumnNames("what", "breed", None, None, None)
    rows = [[*row, "black", "?", "?"] for row in make_rows()]
    source = read(rows, ["what", "breed", "label", "split", "weight"], names)
    assert source.class_names == ("blue", "green", "red")
    assert set(source.parts) == {"train"}
    assert source.weights is None


def test_numbers_are_sorted_as_numbers(read):
    rows = [[path, str(number // 2)] for number, (path, _) in enumerate(make_rows(24))]
    assert read(rows).class_names == tuple(map(str, range(12)))
    mixed = [[path, label.replace("11", "x")] for path, label in rows]
    assert read(mixed).class_names[:3] == ("0", "1", "10")


def test_splits_may_be_called_as_people_call_them(read):
    words = ["Training", "val", "test_set"]
    rows = [[*row, words[number // 10]] for number, row in enumerate(make_rows())]
    source = read(rows, ["file", "label", "Subset"])
    assert {part: rows.tolist() for part, rows in source.parts.items()} == {
        "train": [*range(10)], "valid": [*range(10, 20)], "test": [*range(20, 30)],
    }  # fmt: skip
    assert source.origin == "the column Subset"


def test_weights_are_numbers(read):
    rows = [[*row, text] for row, text in zip(make_rows(), ["2", "0.5", "1e-3"] * 10, strict=True)]
    weights = read(rows, ["file", "label", "weight"]).weights
    assert weights.dtype == np.float32
    assert np.array_equal(weights, np.tile(np.float32([2, 0.5, 1e-3]), 10))


@pytest.mark.parametrize("several", ["cell", "columns"])
def test_several_labels_are_a_row_of_zeros_and_ones(read, several):
    hot = np.random.default_rng(0).integers(0, 2, (30, 3)).astype(np.uint8)
    paths = [path for path, _ in make_rows()]
    if several == "cell":
        cells = ["|".join(c for c, own in zip("abc", row, strict=True) if own) for row in hot]
        cells = [cell or "none" for cell in cells]
        source = read(zip(paths, cells, strict=True))
    else:
        names = ColumnNames("auto", "auto", "auto", "auto", ("a", "b", "c"))
        rows = [[path, *row] for path, row in zip(paths, hot, strict=True)]
        source = read(rows, ["file", "a", "b", "c"], names)
    assert source.class_names == ("a", "b", "c")
    assert source.labels.dtype == np.uint8
    assert np.array_equal(source.labels, hot)


def rows_with(place, *cells):
    rows = make_rows()
    rows[place] = list(cells)
    return rows


# What the rows are, the columns, and what the answer must say.
REFUSED = {
    "no label column": (make_rows(), ["file", "what"], ["no column for the label", "file, what"]),
    "a column for each class": (
        [[path, n % 2, 1] for n, (path, _) in enumerate(make_rows())], ["file", "a", "b"],
        ["no column for the label", "dataset.label_columns=[a,b]"],
    ),
    "a column for each class, with odd names": (
        [[path, 1, n % 2, 1] for n, (path, _) in enumerate(make_rows())],
        ["file", "weight", "a,b", "is it?"],
        [shlex.quote("dataset.label_columns=['a,b','is it?']")],
    ),
    "no file column": (make_rows(), ["where", "label"], ["no column for the file", "where, label"]),
    "no names of columns": (make_rows()[1:], make_rows()[0], ["photos/0.jpg, red"]),
    "two label columns": (
        [[*row, "x"] for row in make_rows()], ["file", "label", "class"],
        ["label, class", "each may be the label", "dataset.label_column=label"],
    ),
    "a column twice": (
        [[*row, "x"] for row in make_rows()], ["file", "label", "label"], ["2 columns", "label"],
    ),
    "an empty label": (rows_with(4, "photos/4.jpg", " "), ["file", "label"],
                       ["label of", "is empty in row 6"]),
    "an empty file": (rows_with(0, "", "red"), ["file", "label"], ["file of", "empty in row 2"]),
    "files that are not there": (
        [*make_rows(), *([f"photos/{n}.png", "red"] for n in range(5))], ["file", "label"],
        ["5 files that are not there", "photos/0.png (row 32)", "and 2 more", "dataset.folder="],
    ),
    "files without their endings": (
        [[path.removesuffix(".jpg"), colour] for path, colour in make_rows()], ["file", "label"],
        ["30 files", "with their endings: 0.jpg"],
    ),
    "a folder for a file": (rows_with(3, "photos", "red"), ["file", "label"], ["photos (row 5)"]),
    "two labels for a file": (
        [*make_rows(), ["./photos/3.jpg", "blue"]], ["file", "label"],
        ["photos/3.jpg with two labels, in rows 5, 32", "|"],
    ),
    "two splits for a file": (
        [*([*row, "train"] for row in make_rows()), ["photos/3.jpg", "red", "test"]],
        ["file", "label", "split"], ["photos/3.jpg with two parts, in rows 5, 32"],
    ),
    "a split without a meaning": (
        [[*row, "train" if n else "fold 1"] for n, row in enumerate(make_rows())],
        ["file", "label", "split"], ["is fold 1 in row 2", "train, valid or test"],
    ),
    "a class of one image": (rows_with(9, "photos/9.jpg", "redd"), ["file", "label"],
                             ["class redd", "one image, in row 11", "label red, if"]),
    "a class that is only tested": (
        [[*row, "test" if row[1] == "blue" else "train"] for row in make_rows()],
        ["file", "label", "split"], ["class blue", "no image that trains", "row", "4, 7"],
    ),
    "one class": ([[path, "red"] for path, _ in make_rows()], ["file", "label"], ["one class"]),
    "half a pair of labels": (rows_with(1, "photos/1.jpg", "red|"), ["file", "label"],
                              ["is red| in row 3"]),
    "none beside another label": (
        [[*row[:1], "none|red" if n in (3, 7) else row[1]] for n, row in enumerate(make_rows())],
        ["file", "label"], ["is none|red in rows 5, 9", "none alone"],
    ),
    "too many cells": (rows_with(6, "photos/6.jpg", "red", "blue"), ["file", "label"],
                       ["row 8", "3 cells", "2 columns"]),
    "no rows": ([], ["file", "label"], ["no rows below"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_table_is_refused_with_the_rows(read, what):
    rows, header, said = REFUSED[what]
    text = str(refuse(read, rows, header))
    assert not [part for part in said if part not in text], text


@pytest.mark.parametrize("text", ["-1", "0", "nan", "inf", "much", "1e-60", "1e60", "0,5"])
def test_weight_that_is_no_positive_number_is_refused(read, text):
    rows = [[*row, "1"] for row in make_rows()]
    rows[8][2] = rows[20][2] = text
    given = refuse(read, rows, ["file", "label", "weight"]).given
    assert f"is {text} in rows 10, 22" in given


@pytest.mark.parametrize("text", ["2", "yes", "-1"])
def test_columns_of_classes_have_zeros_and_ones(read, text):
    names = ColumnNames("auto", "auto", "auto", "auto", ("a", "b"))
    rows = [[path, 1, n % 2] for n, (path, _) in enumerate(make_rows())]
    rows[2][1] = text
    said = str(refuse(read, rows, ["file", "a", "b"], names))
    assert "column a of" in said
    assert f"is {text} in row 4" in said


def test_column_that_is_not_there_is_refused_with_those_that_are(read):
    answer = refuse(read, make_rows(), names=ColumnNames("fill", "auto", None, None, None))
    assert answer.expected == "one of its columns: file, label"
    assert answer.hint == "dataset.file_column=file"
