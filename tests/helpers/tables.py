"""Rows of tables of photos, for tests that write them."""

import pytest

from cnntrain.data.fetch.table_columns import ColumnNames
from cnntrain.errors import SpecError
from helpers import odd

AUTO = ColumnNames("auto", "auto", "auto", "auto", None)
COLOURS = ("red", "green", "blue")


def write_photo(file, seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(odd.encoded(odd.picture(seed, 24, 20)))


def make_rows(count=30):
    return [[f"photos/{number}.jpg", COLOURS[number % 3]] for number in range(count)]


def refuse(call, *arguments, **options):
    with pytest.raises(SpecError) as caught:
        call(*arguments, **options)
    return caught.value
