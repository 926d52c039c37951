"""A table of photos becomes the data set it says, or each mistake is answered with its row."""

import csv
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from cnntrain.cli.main import main
from cnntrain.data.fetch.table_columns import ColumnNames
from cnntrain.data.fetch.table_files import read_table
from cnntrain.data.fetch.table_source import read_table_source
from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.data.photos import decoding_processes
from cnntrain.errors import SpecError
from cnntrain.spec.places import peek_several_labels
from helpers import odd

AUTO = ColumnNames("auto", "auto", "auto", "auto", None)
COLOURS = ("red", "green", "blue")


def write_photo(file, seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(odd.encoded(odd.picture(seed, 24, 20)))


@pytest.fixture
def folder(tmp_path):
    """A folder with the photos 0.jpg to 29.jpg, of which each third has a colour."""
    for number in range(30):
        write_photo(tmp_path / "set" / "photos" / f"{number}.jpg", number)
    return tmp_path / "set"


def make_rows(count=30):
    return [[f"photos/{number}.jpg", COLOURS[number % 3]] for number in range(count)]


@pytest.fixture
def read(folder):
    """Write a CSV of rows and read it as a source: read(rows, ["file", "label"])."""

    def from_rows(rows, header=("file", "label"), names=AUTO, root=None, **options):
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, **options).writerows([header, *rows])
        return read_table_source(folder / "labels.csv", root or folder, names)

    return from_rows


def refuse(call, *arguments, **options):
    with pytest.raises(SpecError) as caught:
        call(*arguments, **options)
    return caught.value


def test_a_row_is_a_photo_with_its_label(read, folder):
    source = read(make_rows())
    assert source.class_names == ("blue", "green", "red")
    assert [source.class_names[label] for label in source.labels] == [c for _, c in make_rows()]
    assert source.labels.dtype == np.int32
    assert list(source.images.names) == [path for path, _ in make_rows()]
    assert source.images.read(7) == (folder / "photos" / "7.jpg").read_bytes()
    assert {part: rows.tolist() for part, rows in source.parts.items()} == {"train": [*range(30)]}
    assert source.weights is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_and_the_mark_of_utf_8_are_found(folder, delimiter, start, end):
    rows = [["file", "label, or class; as you like"]]
    rows += [[path, "röt, ja" if colour == "red" else colour] for path, colour in make_rows()]
    quoted = [[f'"{cell}"' if "," in cell or ";" in cell else cell for cell in row] for row in rows]
    text = start + end.join(delimiter.join(row) for row in quoted) + end
    (folder / "labels.csv").write_bytes(text.encode())
    names = ColumnNames("auto", rows[0][1], "auto", "auto", None)
    assert read_table_source(folder / "labels.csv", folder, names).class_names == (
        "blue", "green", "röt, ja",
    )  # fmt: skip


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


@pytest.mark.parametrize("cell", ["a|b", "a"])
def test_the_monitor_is_chosen_by_whether_a_table_has_several_labels(read, folder, spec, cell):
    cells = ["a", "b", cell] * 10
    read([[path, own] for (path, _), own in zip(make_rows(), cells, strict=True)])
    found = spec("dataset=table", f"dataset.table={folder / 'labels.csv'}")
    assert found.monitor == f"valid.{'mean_average_precision' if cell == 'a|b' else 'accuracy'}"
    assert peek_several_labels(found.config) == (cell == "a|b")
    assert found.dataset.bound_function(folder, None).labels.ndim == 1 + (cell == "a|b")


def test_a_table_that_cannot_be_read_is_explained_by_who_loads_it(folder, spec):
    words = ["dataset=table", f"dataset.table={folder / 'none.csv'}"]
    assert spec(*words).monitor == "valid.accuracy"


def test_parquet_says_the_same_as_a_csv(read, folder):
    import pyarrow
    from pyarrow import parquet

    rows = [[path, number % 3, number + 1, ["train", "test"][number >= 20], b"x"]
            for number, (path, _) in enumerate(make_rows())]  # fmt: skip
    header = ["file", "label", "weight", "split"]
    expected = read([row[:4] for row in rows], header)
    columns = dict(zip([*header, "pixels"], map(list, zip(*rows, strict=True)), strict=True))
    columns["label"] = [float(label) for label in columns["label"]]  # as pandas has them with gaps
    parquet.write_table(pyarrow.table(columns), folder / "labels.parquet")
    found = read_table_source(folder / "labels.parquet", folder, AUTO)
    assert found.class_names == expected.class_names == ("0", "1", "2")
    assert list(found.images.names) == list(expected.images.names)
    for name in ("labels", "weights"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert {part: rows.tolist() for part, rows in found.parts.items()} == {
        part: rows.tolist() for part, rows in expected.parts.items()
    }
    listed = {"file": columns["file"], "label": [["a", "b"], ["a"], ["b"]] * 10}
    parquet.write_table(pyarrow.table(listed), folder / "labels.parquet")
    found = read_table_source(folder / "labels.parquet", folder, AUTO)
    assert np.array_equal(found.labels, np.tile([[1, 1], [1, 0], [0, 1]], (10, 1)))


def test_paths_are_relative_to_the_table_or_a_folder_or_absolute(read, folder, tmp_path):
    for number in range(3):
        write_photo(tmp_path / "else" / f"é{number}.jpg")
    rows = make_rows()
    rows += [[str(tmp_path / "else" / f"é{n}.jpg"), COLOURS[n]] for n in range(2)]
    rows += [["../else/é2.jpg", "red"], ["photos\\..\\photos/./1.jpg", "green"]]
    source = read(rows)
    assert len(source.labels) == 33  # 1.jpg was there before
    assert "1 rows repeat another row" in source.notes[-1]
    assert source.images.read(31) == source.images.read(32)
    rows = [[path.removeprefix("photos/"), colour] for path, colour in make_rows()]
    assert len(read(rows, root=folder / "photos").labels) == 30
    spelt = unicodedata.normalize("NFD", "é0.jpg")
    again = [[f"../else/{spelt}", "red"], *make_rows()]
    assert len(read(again).labels) == 31


def rows_with(place, *cells):
    rows = make_rows()
    rows[place] = list(cells)
    return rows


# What the rows are, the columns, and what the answer must say.
REFUSED = {
    "no label column": (make_rows(), ["file", "what"], ["no column for the label", "file, what"]),
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,label\nphotos/0.jpg,\xfcber\n", "line 2"),
        (b"PK\x03\x04 ...", "save it as a CSV"),
        (b"PAR1 nothing", "cannot be read"),
        (b'file,label\n"photos/0.jpg,red\n', "line"),
        (b"", "no rows below"),
        (b"\n\n", "no rows below"),
    ],
)
def test_file_that_is_no_table_is_refused(folder, content, said):
    (folder / "labels.csv").write_bytes(content)
    assert said in str(refuse(read_table, folder / "labels.csv"))


def test_rows_are_numbered_as_a_spreadsheet_shows_them(folder):
    (folder / "labels.csv").write_text('file,label\n\n"a\nb",red\n,,\nc,blue\n')
    table = read_table(folder / "labels.csv")
    assert list(table.rows) == [3, 5]
    assert table.columns["file"] == ("a\nb", "c")


def test_a_table_that_changes_is_read_again(read):
    assert len(read(make_rows()).labels) == 30
    assert len(read(make_rows(27)).labels) == 27


def test_classes_that_differ_in_capitals_are_noted(read):
    rows = [[path, "Red" if n % 2 else "red"] for n, (path, _) in enumerate(make_rows())]
    assert "the classes Red and red differ in capitals only" in read(rows).notes[-1]


def load(spec, folder, *words):
    words = ("dataset=table", f"dataset.table={folder / 'labels.csv'}", *words)
    words = ("dataset.image_size=[16,16]", "dataset.valid=3", *words)
    return spec(*words).dataset(folder / "data", None)


@pytest.fixture
def weighed(read):
    """Write a table with splits, weights and a broken photo."""
    splits = ["train", "train", "train", "val", "test"]
    rows = [[*row, splits[n % 5], n % 4 + 0.5] for n, row in enumerate(make_rows())]
    source = read(rows, ["file", "label", "split", "weight"])
    Path(source.images.read.root, "photos", "6.jpg").write_bytes(b"nothing")
    return np.array([row[3] for row in rows], np.float32)


@pytest.mark.parametrize("scan", ["all", "none"])
def test_splits_have_the_weights_of_their_examples(weighed, spec, folder, scan):
    splits = load(spec, folder, f"dataset.scan={scan}", "dataset.limit=9")
    assert splits.origin["test"] == "the column split"
    for _, part in splits.items():
        numbers = [int(splits.names[row].split("/")[1][:-4]) for row in part.rows]
        assert np.array_equal(part.weights, weighed[numbers])
    merged = splits.merge_valid().train
    parts = [splits.train.weights, splits.valid.weights]
    assert np.array_equal(merged.weights, np.concatenate(parts))
    assert np.array_equal(merged[np.array([3, 0])].weights, merged.weights[[3, 0]])


def test_fingerprint_is_of_labels_and_weights(weighed, spec, folder):
    def fingerprint(*words):
        return compute_fingerprint(load(spec, folder, *words))

    text = (folder / "labels.csv").read_text()
    first, alike = fingerprint(), fingerprint("dataset.weight_column=null")
    assert first != alike
    (folder / "labels.csv").write_text(text.replace("3.5", "3"))
    assert fingerprint() != first
    assert fingerprint("dataset.weight_column=null") == alike
    (folder / "labels.csv").write_text(text.replace("9.jpg,red", "9.jpg,blue"))
    assert fingerprint("dataset.weight_column=null") != alike


def test_a_table_of_a_folder_is_the_same_data_set_as_the_folder(spec, folder, tmp_path):
    for part in ("train", "test"):
        for colour in COLOURS:
            for number in range(6):
                write_photo(tmp_path / "tree" / part / colour / f"{number}.jpg", number)
    expected = spec(
        "dataset=image_folder",
        f"dataset.folder={tmp_path / 'tree'}",
        "dataset.valid=3",
        "dataset.image_size=[16,16]",
    ).dataset(tmp_path, None)
    files = (tmp_path / "tree").rglob("*.jpg")
    rows = [[file.relative_to(tmp_path), *file.parts[-3:-1]] for file in files]
    rows.sort(key=lambda row: (row[1] == "test", row[2], row[0]))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "subset", "target"], *rows])
    found = load(spec, folder, f"dataset.folder={tmp_path}")
    assert compute_fingerprint(found) == compute_fingerprint(expected)
    assert all(
        np.array_equal(part.images, other.images)
        for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True)
    )


def run_main(*words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def test_records_are_the_same_data_set(weighed, spec, folder, capsys):
    words = [f"dataset.table={folder / 'labels.csv'}", f"data_dir={folder / 'data'}", "decoders=0"]
    assert run_main("data", "prepare", "table", *words, "--to", "array_record") == 0
    decoding_processes.set_decoding_processes(0)
    records = folder / "data" / "labels_records"
    expected = load(spec, folder)
    found = spec(
        "dataset=records",
        f"dataset.folder={records}",
        "dataset.valid=3",
        "dataset.image_size=[16,16]",
    ).dataset(folder / "data", None)
    assert compute_fingerprint(found) == compute_fingerprint(expected)
    assert found.class_names == expected.class_names
    for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True):
        assert np.array_equal(part.weights, other.weights)
        assert np.array_equal(part.images, other.images)
    assert json.loads((records / "records.json").read_text())["format"] == 2
    capsys.readouterr()


def test_verbs_of_data_know_a_table(weighed, folder, answer):
    words = [f"dataset.table={folder / 'labels.csv'}", f"data_dir={folder / 'data'}"]
    done = answer("data", "verify", "table", *words, "--json")
    assert done.returncode == 1  # for the broken one
    said = json.loads(done.stdout)
    assert said["broken"][0]["file"] == "photos/6.jpg"
    assert said["splits"]["test"]["images"] == 6
    done = answer("data", "prepare", "table", *words)
    assert done.returncode == 0, done.stderr
    assert "images weigh from 0.5 to 3.5" in done.stdout
    done = answer("data", "preview", "table", *words, "--output", str(folder / "preview.png"))
    assert done.returncode == 0, done.stderr
    assert "needs table" in answer("data", "list", words[1]).stdout


@pytest.mark.parametrize("verb", ["verify", "preview", "prepare"])
def test_a_table_in_place_of_a_data_set_is_suggested(folder, read, answer, verb):
    read(make_rows())
    done = answer("data", verb, str(folder / "labels.csv"))
    assert done.returncode == 2
    assert f"cnntrain data {verb} table dataset.table={folder}/labels.csv" in done.stderr
