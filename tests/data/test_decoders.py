"""Which runs start the processes that decode photos before the data set is loaded."""

import json
import zipfile

import pytest

from cnntrain.data.decoders import needs_decoders
from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.data.photos.photo_index import SCANNED_PHOTOS, locate_index


@pytest.fixture
def needs(spec, tmp_path):
    def ask(option, folder, *words):
        place = [f"dataset={option}", f"dataset.folder={folder}", f"data_dir={tmp_path / 'data'}"]
        return needs_decoders(spec(*place, *words))

    return ask


@pytest.mark.parametrize("setting", ["scan=none", "cache=none", "resize=random_crop"])
def test_settings_may_say_that_photos_are_decoded_each_time(needs, given, tmp_path, setting):
    zipfile.ZipFile(tmp_path / "photos.zip", "w").close()
    assert needs("image_folder", given, f"dataset.{setting}")
    assert not needs("image_folder", tmp_path / "photos.zip", f"dataset.{setting}")  # by threads


def test_a_folder_needs_them_if_it_was_listed_before(needs, given, tmp_path):
    assert not needs("image_folder", given)
    index = locate_index(given, tmp_path / "data" / CACHE_FOLDER)
    index.parent.mkdir(parents=True)
    index.touch()
    assert needs("image_folder", given)
    assert not needs("image_folder", given, "dataset.scan=all")


@pytest.mark.parametrize("records", [SCANNED_PHOTOS, SCANNED_PHOTOS + 1])
def test_records_need_them_if_there_are_many(needs, given, records):
    shards = {"train": [{"records": records - 5}, {"records": 2}], "test": [{"records": 3}]}
    (given / "records.json").write_text(json.dumps({"parts": shards}))
    assert needs("records", given) == (records > SCANNED_PHOTOS)
    assert needs("records", given, "dataset.scan=none")
    assert not needs("records", given, "dataset.scan=all")


@pytest.mark.parametrize("text", ["", "[]", '{"parts": 3}', '{"parts": {"train": 1}}'])
def test_a_damaged_manifest_is_left_to_whoever_loads_the_records(needs, given, text):
    (given / "records.json").write_text(text)
    assert not needs("records", given)


def test_other_data_sets_are_not_looked_at(spec):
    assert not needs_decoders(spec("dataset=mnist"))
