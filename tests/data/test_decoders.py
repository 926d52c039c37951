"""Which runs start the processes that decode photos before the data set is loaded."""

import json
import zipfile

import pytest

from cnntrain.data.decoders import lists_photos
from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.data.photos.photo_index import SCANNED_PHOTOS, locate_index


@pytest.fixture
def lists(spec, tmp_path):
    def list_or_read(option, folder, *words):
        place = [f"dataset={option}", f"dataset.folder={folder}", f"data_dir={tmp_path / 'data'}"]
        return lists_photos(spec(*place, *words))

    return list_or_read


def test_a_folder_is_listed_if_it_is_asked_for_or_was_listed_before(lists, given, tmp_path):
    assert not lists("image_folder", given)
    assert lists("image_folder", given, "dataset.scan=none")
    index = locate_index(given, tmp_path / "data" / CACHE_FOLDER)
    index.parent.mkdir(parents=True)
    index.touch()
    assert lists("image_folder", given)
    assert not lists("image_folder", given, "dataset.scan=all")


def test_threads_decode_what_is_in_a_zip(lists, tmp_path):
    zipfile.ZipFile(tmp_path / "photos.zip", "w").close()
    assert not lists("image_folder", tmp_path / "photos.zip", "dataset.scan=none")


@pytest.mark.parametrize("records", [SCANNED_PHOTOS, SCANNED_PHOTOS + 1])
def test_records_are_listed_if_there_are_many(lists, given, records):
    shards = {"train": [{"records": records - 5}, {"records": 2}], "test": [{"records": 3}]}
    (given / "records.json").write_text(json.dumps({"parts": shards}))
    assert lists("records", given) == (records > SCANNED_PHOTOS)
    assert lists("records", given, "dataset.scan=none")
    assert not lists("records", given, "dataset.scan=all")


def test_other_data_sets_are_not_looked_at(spec):
    assert not lists_photos(spec("dataset=mnist"))
