"""The contents that options state for data sets, against what their makers publish."""

from fnmatch import fnmatch

import pytest

from cnntrain.data.inventory import read_contents
from cnntrain.spec import option_files

FILES = option_files.find_option_files("dataset")


def test_every_data_set_states_its_contents_or_asks_for_its_place():
    for option, file in FILES.items():
        assert read_contents(file) or "???" in option_files.load_option(file).values(), option


def published(option):
    """Return the bytes of each published archive by name, as TFDS or our source states them."""
    knobs = option_files.load_option(FILES[option])
    if option == "flowers17":
        from cnntrain.data.datasets.flowers17 import PHOTOS

        return {PHOTOS.name: PHOTOS.size}
    import tensorflow_datasets as tfds

    archives = tfds.builder_cls(knobs.get("tfds", option)).url_infos.values()
    return {archive.filename: int(archive.size) for archive in archives}


@pytest.mark.parametrize(
    "option", sorted(set(FILES) - {"digits", "image_folder", "tfds", "cats_vs_dogs_small"})
)
def test_stated_downloads_are_those_that_are_published(option):
    holds, archives = read_contents(FILES[option]), published(option)
    assert holds.bytes == sum(archives.values())
    assert all(any(fnmatch(name, given) for given in holds.archives) for name in archives)
    assert len(archives) == len(holds.archives)
