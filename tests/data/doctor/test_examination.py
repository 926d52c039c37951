"""What `data verify` finds in images alone, and what it leaves out where images are small."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cnntrain.data.doctor.examination import THRESHOLDS, choose_thresholds, examine_splits
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from helpers.tiny import draw_scene


@pytest.fixture
def odd(tmp_path):
    """Photos in parts: a blurred, a tiny, a flat one, a leak mirrored and smaller, a double."""
    for number, part in enumerate(("train", "valid", "test")):
        for place, name in enumerate(("cat", "dog")):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for index in range(4):
                seed = 100 * number + 10 * place + index
                draw_scene(seed).save(folder / f"{index}.png")
    train, test = tmp_path / "photos" / "train", tmp_path / "photos" / "test"
    draw_scene(500).filter(ImageFilter.GaussianBlur(9)).save(train / "cat" / "blurred.png")
    draw_scene(501).resize((20, 14)).save(train / "dog" / "tiny.png")
    Image.new("RGB", (120, 90), (200, 10, 60)).save(train / "dog" / "flat.jpg")
    small = draw_scene(2).resize((90, 60)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    small.save(test / "cat" / "leak.jpg", quality=40)
    draw_scene(11).save(train / "dog" / "double.jpg", quality=50)
    return tmp_path / "photos"


def examine(folder, **asked):
    words = ["dataset=image_folder", f"dataset.folder={folder}", "dataset.cache=none"]
    spec = build_provisional_spec(compose_config([*words, f"data_dir={folder.parent}/d"]).config)
    return examine_splits(spec.load_splits(), asked)


def name_places(odd_images):
    return [odd.place.name for odd in odd_images]


def test_each_kind_is_found_once(odd):
    found = examine(odd)
    assert name_places(found.blurred) == ["train/cat/blurred.png"]
    assert name_places(found.tiny) == ["train/dog/tiny.png"]
    assert name_places(found.one_colour) == ["train/dog/flat.jpg"]
    pairs = [(pair.first.name, pair.second.name, pair.mirrored) for pair in found.near_duplicates]
    assert pairs == [
        ("train/cat/2.png", "test/cat/leak.jpg", True),
        ("train/dog/1.png", "train/dog/double.jpg", False),
    ]
    assert [pair.is_leak for pair in found.near_duplicates] == [True, False]
    assert len(found.near_leaks) == 1
    assert found.notes == []
    assert found.thresholds == THRESHOLDS


def test_thresholds_can_be_set_and_switched_off(odd):
    found = examine(odd, near=None, blur=None, tiny=None, flat=None)
    assert (found.near_duplicates, found.blurred, found.tiny, found.one_colour) == ([], [], [], [])
    assert len(examine(odd, tiny=1000).tiny) == 29
    assert len(examine(odd, near=0.9999).near_duplicates) == 0


def test_nothing_is_said_of_images_that_are_small_by_nature_unless_asked():
    thresholds, notes = choose_thresholds({}, 28)
    assert thresholds == {"near": None, "flat": THRESHOLDS["flat"], "blur": None, "tiny": None}
    assert "near-duplicates and blurred images and tiny images" in notes[0]
    assert "--near 0.93" in notes[0]
    assert choose_thresholds({"near": 0.9}, 28)[0]["near"] == 0.9
    assert choose_thresholds({}, 32)[0]["near"] == THRESHOLDS["near"]
    assert choose_thresholds({}, 200) == (dict(THRESHOLDS), [])


def test_images_of_an_array_are_examined():
    from cnntrain.data.source import Examples, Splits

    scenes = [np.asarray(draw_scene(seed).resize((32, 32))) for seed in range(12)]
    images = np.stack([*scenes, scenes[5][:, ::-1]])
    rows = {"train": np.arange(6), "valid": np.arange(6, 9), "test": np.arange(9, 13)}
    parts = {s: Examples(images, np.zeros(len(r), np.int32), r) for s, r in rows.items()}
    found = examine_splits(
        Splits(**parts, class_names=("one",), origin=dict.fromkeys(rows, "official")), {}
    )
    (pair,) = found.near_duplicates
    assert (str(pair.first), str(pair.second)) == ("train image 5 (one)", "test image 3 (one)")
    assert pair.mirrored
