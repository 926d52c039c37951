"""A folder of photos, and a table of them that is written and read."""

import csv

import pytest

from cnntrain.data.fetch.table_source import read_table_source
from helpers.tables import AUTO, write_photo


@pytest.fixture
def folder(tmp_path):
    """A folder with the photos 0.jpg to 29.jpg, of which each third has a colour."""
    for number in range(30):
        write_photo(tmp_path / "set" / "photos" / f"{number}.jpg", number)
    return tmp_path / "set"


@pytest.fixture
def read(folder):
    """Write a CSV of rows and read it as a source: read(rows, ["file", "label"])."""

    def from_rows(rows, header=("file", "label"), names=AUTO, root=None, **options):
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, **options).writerows([header, *rows])
        return read_table_source(folder / "labels.csv", root or folder, names)

    return from_rows
