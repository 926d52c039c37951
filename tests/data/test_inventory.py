"""The contents that options state for data sets, against what their makers publish."""

from fnmatch import fnmatch

import pytest

from cnntrain.spec import option_files
from cnntrain.spec.about import DatasetAbout, read_option

FILES = option_files.find_option_files("dataset")


def test_every_data_set_states_its_contents_or_asks_for_its_place():
    for option, file in FILES.items():
        knobs, about = read_option(file, DatasetAbout)
        said = (about.images, about.num_classes, about.bytes, about.archives)
        assert None not in said or "???" in knobs.values(), option


def published(option):
    """Return the bytes of each published archive by name, as TFDS or our source states them."""
    knobs = option_files.load_option(FILES[option])
    if option == "flowers17":
        from cnntrain.data.datasets.flowers17 import PHOTOS_FILE

        return {PHOTOS_FILE.name: PHOTOS_FILE.size}
    import tensorflow_datasets as tfds

    archives = tfds.builder_cls(knobs.get("tfds", option)).url_infos.values()
    return {archive.filename: int(archive.size) for archive in archives}


@pytest.mark.parametrize(
    "option",
    sorted(
        set(FILES) - {"digits", "image_folder", "records", "table", "tfds", "cats_vs_dogs_small"}
    ),
)
def test_stated_downloads_are_those_that_are_published(option):
    (_, about), archives = read_option(FILES[option], DatasetAbout), published(option)
    assert about.bytes == sum(archives.values())
    assert all(any(fnmatch(name, given) for given in about.archives) for name in archives)
    assert len(archives) == len(about.archives)
