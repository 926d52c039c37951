"""Findings about photos: transparent, of one colour, of 16 bits, or of one small size."""

import json

import numpy as np
import pytest
from PIL import Image

from cnntrain.errors import SpecError
from helpers import odd

COUNT = 20  # photos of each class


def folder(path, make):
    for name in ("one", "two"):
        (path / name).mkdir(parents=True)
        for number in range(COUNT):
            seed = 1000 * (name == "two") + number
            (path / name / f"{number:02}.png").write_bytes(odd.encoded(make(seed), "PNG"))
    return path


def icon(ink):
    """Return a function that draws an icon in one ink on a transparent ground."""

    def make(seed):
        image = Image.new("RGBA", (48, 32), (0, 0, 0, 0))
        image.paste(ink, (10 + seed % 9, 8, 30, 20))
        return image

    return make


def deep(low, high):
    """Return a function that makes a 16-bit photo with values from `low` to `high`."""

    def make(seed):
        values = np.random.default_rng(seed).integers(low, high + 1, (32, 48))
        values[0, :2] = low, high
        return Image.fromarray(values.astype(np.uint16))

    return make


@pytest.fixture
def splits(spec, tmp_path):
    def load(*overrides, cache="memory"):
        words = ["dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}"]
        words += ["dataset.image_size=[16,16]", f"dataset.cache={cache}"]
        return spec(*words, *overrides).dataset(tmp_path / "data", None)

    return load


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_transparency_is_noted_once_with_the_count(splits, tmp_path, cache):
    folder(tmp_path / "photos", icon((0, 0, 0, 255)))
    for _ in range(2):  # the second time from what is kept
        found = splits(cache=cache)
        assert found.notes == ["40 of 40 photos have transparent parts, which are laid on white"]
        images = found.train.images
        assert (images[:, 0, 0] == 255).all()
        assert images.min() == 0


def test_photos_of_one_colour_give_a_warning(splits, tmp_path):
    folder(tmp_path / "photos", icon((255, 255, 255, 255)))  # white on white
    for cache in ("memory", "none"):
        warned = splits(cache=cache).notes[-1]
        assert warned.startswith("Warning: 40 of 40 photos have a single colour")


def test_verify_warns_of_photos_of_one_colour(tmp_path, capsys):
    from cnntrain.cli.data.command import main

    folder(tmp_path / "photos", icon((255, 255, 255, 255)))
    words = ["image_folder", f"dataset.folder={tmp_path / 'photos'}", f"data_dir={tmp_path}"]
    main(["verify", *words, "--json"])
    assert "single colour" in json.loads(capsys.readouterr().out)["notes"][-1]


def test_a_few_photos_of_one_colour_give_no_warning(splits, tmp_path, monkeypatch):
    folder(tmp_path / "photos", odd.picture)
    assert splits().notes == []
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "one" / "black.png")
    assert "1 of 41 photos has a single colour" in splits().notes[0]
    monkeypatch.setattr("cnntrain.data.photos.findings.UNIFORM_SHARE", 0.1)
    assert splits().notes == []


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_twelve_used_bits_of_sixteen_are_spread_over_all_shades(splits, tmp_path, cache):
    folder(tmp_path / "photos", deep(0, 3000))
    for _ in range(2):
        found = splits("dataset.image_size=[32,48]", "dataset.channels=1", cache=cache)
        assert found.value_range == (0, 4095)
        assert "16 bits, of which 12 are used: 4,095 becomes white" in found.notes[0]
        assert found.train.images.max() == 3000 * 255 // 4095
    whole = splits("dataset.image_size=[32,48]", "dataset.value_range=null", cache=cache)
    assert whole.value_range is None
    assert "'dataset.value_range=[0,3000]' keeps them" in whole.notes[0]
    assert whole.train.images.max() == 3000 // 257
    asked = splits("dataset.image_size=[32,48]", "dataset.value_range=[0,3000]", cache=cache)
    assert asked.train.images.max() == 255
    assert asked.notes == []


def test_sixteen_used_bits_give_no_note(splits, tmp_path):
    folder(tmp_path / "photos", deep(100, 65000))
    found = splits("dataset.image_size=[32,48]")
    assert found.notes == []
    assert found.value_range == (0, 65535)
    assert found.train.images.max() == 65000 // 257


def test_an_outlier_that_darkens_the_other_photos_gives_a_warning(splits, tmp_path):
    folder(tmp_path / "photos", deep(0, 4000))
    hot = odd.encoded(deep(0, 65535)(0), "PNG")
    (tmp_path / "photos" / "one" / "00.png").write_bytes(hot)
    assert (
        "Warning: 39 of 40 photos have 16 bits and only values from 0 to 4,000" in splits().notes[0]
    )


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_photos_of_32_bits_are_left_out_until_their_range_is_given(splits, tmp_path, cache):
    folder(tmp_path / "photos", deep(0, 4000))
    film = Image.fromarray(np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48))
    (tmp_path / "photos" / "one" / "film.tiff").write_bytes(odd.encoded(film, "TIFF"))
    found = splits(cache=cache)
    assert found.value_range == (0, 4095)
    ((name, why),) = found.skipped
    assert name == "one/film.tiff"
    assert "its pixels have 32 bits, from 0 to 1" in why


def test_a_range_that_does_nothing_or_clips_values_is_noted(splits, tmp_path):
    folder(tmp_path / "photos", deep(0, 4000))
    assert "40 of 40 photos have values beyond" in splits("dataset.value_range=[0,1000]").notes[0]
    folder(tmp_path / "plain", odd.picture)
    (tmp_path / "photos").rename(tmp_path / "old")
    (tmp_path / "plain").rename(tmp_path / "photos")
    assert "changes nothing" in splits("dataset.value_range=[0,1000]").notes[0]


@pytest.mark.parametrize("words", [
    ("dataset.value_range=[5,5]",), ("dataset.value_range=[1,0]",), ("dataset.value_range=[0]",),
    ("dataset.value_range=4095",),
])  # fmt: skip
def test_invalid_ranges_are_refused(spec, words):
    with pytest.raises(SpecError, match=r"dataset\.value_range is"):
        spec("dataset=digits", *words)


def test_images_of_8_bits_in_arrays_have_no_range(spec, tmp_path):
    with pytest.raises(SpecError, match="all images have 8 bits"):
        spec("dataset=digits", "dataset.value_range=[0,100]").dataset(tmp_path, None)


# A run records the value range that its photos settled.


def test_a_run_records_the_settled_value_range():
    from cnntrain.inference.classifier import resolve_auto_settings

    config = {"dataset": {"image_size": "auto", "channels": None, "value_range": "auto"}}
    record = {"data": {"value_range": [0, 4095]}}
    found = resolve_auto_settings(config, record, (28, 28, 1))["dataset"]
    assert found == {"image_size": [28, 28], "channels": 1, "value_range": [0, 4095]}
    old = {"dataset": {"image_size": [64, 64], "channels": None}}
    assert resolve_auto_settings(old, {}, (64, 64, 3)) == old


def test_an_older_run_reads_16_bits_as_before(spec):
    from cnntrain.spec.build import build_spec as check
    from cnntrain.spec.compose import compose_config

    config = compose_config(["dataset=digits"]).config
    del config["dataset"]["value_range"]
    assert check(config).dataset["value_range"] is None
    assert spec("dataset=digits").dataset["value_range"] == "auto"


# Photos of one small size.


def small(mode, size):
    return lambda seed: odd.picture(seed, *size).convert(mode)


@pytest.mark.parametrize(("mode", "size", "shape"), [
    ("L", (28, 28), (28, 28, 1)),
    ("RGB", (28, 28), (28, 28, 3)),
    ("L", (20, 64), (64, 20, 1)),
    ("L", (65, 28), (64, 64, 3)),  # too large
    ("L", (8, 8), (64, 64, 3)),  # too small for most networks
])  # fmt: skip
def test_photos_of_one_small_size_stay_as_they_are(spec, tmp_path, mode, size, shape):
    from cnntrain.planning.dataset_outline import outline_dataset

    folder(tmp_path / "photos", small(mode, size))
    words = ("dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}")
    found = spec(*words).dataset(tmp_path, None)
    assert found.image_shape == shape
    stays = [note for note in found.notes if "All photos are of one size and stay" in note]
    assert len(stays) == (shape[:2] != (64, 64))
    if stays:
        assert found.train.images.std() > 0
    assert outline_dataset(spec(*words), None).splits.image_shape == shape
    explicit = spec(*words, "dataset.image_size=[64,64]").dataset(tmp_path, None)
    assert explicit.image_shape == (64, 64, 3)
    assert explicit.notes == []
    grey = spec(*words, "dataset.channels=1").dataset(tmp_path, None)
    assert grey.image_shape == (*shape[:2], 1)


def test_photos_of_other_sizes_get_one(spec, tmp_path):
    folder(tmp_path / "photos", small("L", (28, 28)))
    (tmp_path / "photos" / "one" / "00.png").write_bytes(odd.encoded(odd.picture(0, 28, 29), "PNG"))
    words = ("dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}")
    assert spec(*words).dataset(tmp_path, None).image_shape == (64, 64, 3)
    with pytest.raises(SpecError, match="the photos are of many sizes"):
        spec(*words, "dataset.image_size=null").dataset(tmp_path, None)


def test_photos_of_one_size_may_stay_of_any_size(spec, tmp_path):
    folder(tmp_path / "photos", small("RGB", (100, 80)))
    words = ("dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}")
    assert spec(*words, "dataset.image_size=null").dataset(tmp_path, None).image_shape == (
        80,
        100,
        3,
    )


def test_broken_files_do_not_change_the_size(spec, tmp_path):
    folder(tmp_path / "photos", small("L", (28, 28)))
    (tmp_path / "photos" / "one" / "00.png").write_bytes(b"nothing")
    words = ("dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}")
    assert spec(*words).dataset(tmp_path, None).image_shape == (28, 28, 1)
