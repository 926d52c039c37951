"""A table of photos becomes a source: a row is a photo, wherever its file is."""

import unicodedata

import numpy as np
import pytest

from cnntrain.spec.places import peek_several_labels
from helpers.tables import COLOURS, make_rows, write_photo


def test_a_row_is_a_photo_with_its_label(read, folder):
    source = read(make_rows())
    assert source.class_names == ("blue", "green", "red")
    assert [source.class_names[label] for label in source.labels] == [c for _, c in make_rows()]
    assert source.labels.dtype == np.int32
    assert list(source.images.names) == [path for path, _ in make_rows()]
    assert source.images.read(7) == (folder / "photos" / "7.jpg").read_bytes()
    assert {part: rows.tolist() for part, rows in source.parts.items()} == {"train": [*range(30)]}
    assert source.weights is None


def test_paths_are_relative_to_the_table_or_a_folder_or_absolute(read, folder, tmp_path):
    for number in range(3):
        write_photo(tmp_path / "else" / f"é{number}.jpg")
    rows = make_rows()
    rows += [[str(tmp_path / "else" / f"é{n}.jpg"), COLOURS[n]] for n in range(2)]
    rows += [["../else/é2.jpg", "red"], ["photos\\..\\photos/./1.jpg", "green"]]
    source = read(rows)
    assert len(source.labels) == 33  # 1.jpg was there before
    assert "1 row repeats another row, and is left out" in source.notes[-1]
    assert source.images.read(31) == source.images.read(32)
    rows = [[path.removeprefix("photos/"), colour] for path, colour in make_rows()]
    assert len(read(rows, root=folder / "photos").labels) == 30
    spelt = unicodedata.normalize("NFD", "é0.jpg")
    again = [[f"../else/{spelt}", "red"], *make_rows()]
    assert len(read(again).labels) == 31


def test_classes_that_differ_in_capitals_are_noted(read):
    rows = [[path, "Red" if n % 2 else "red"] for n, (path, _) in enumerate(make_rows())]
    assert "the classes Red and red differ in capitals only" in read(rows).notes[-1]


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
