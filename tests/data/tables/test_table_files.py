"""CSV and Parquet files are read as texts, in rows with the numbers that people see."""

import csv

import numpy as np
import pytest

from cnntrain.data.fetch.table_columns import ColumnNames
from cnntrain.data.fetch.table_files import read_table
from cnntrain.data.fetch.table_source import read_table_source
from cnntrain.files.writing import escape_formula
from helpers.tables import AUTO, make_rows, refuse


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
    listed = {"file": columns["file"], "label": [["a", "b"], ["a"], []] * 10}
    parquet.write_table(pyarrow.table(listed), folder / "labels.parquet")
    found = read_table_source(folder / "labels.parquet", folder, AUTO)
    assert np.array_equal(found.labels, np.tile([[1, 1], [1, 0], [0, 0]], (10, 1)))


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
    assert said in str(refuse(read_table_source, folder / "labels.csv", folder, AUTO))


def test_rows_are_numbered_as_a_spreadsheet_shows_them(folder):
    (folder / "labels.csv").write_text('file,label\n\n"a\nb",red\n,,\nc,blue\n')
    table = read_table(folder / "labels.csv")
    assert list(table.rows) == [3, 5]
    assert table.columns["file"] == ("a\nb", "c")


def test_a_table_that_changes_is_read_again(read):
    assert len(read(make_rows()).labels) == 30
    assert len(read(make_rows(27)).labels) == 27


def test_cells_that_were_escaped_for_a_spreadsheet_are_read_as_they_were(folder):
    cells = ["=1+1", "-x", "@home", "-1", "'quoted'", "plain"]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["label"], *([escape_formula(cell)] for cell in cells)])
    assert "'=1+1" in (folder / "labels.csv").read_text()
    assert list(read_table(folder / "labels.csv").columns["label"]) == cells
