"""`cnntrain data verify`: what is wrong with a data set is found, by name."""

import json
import re
import resource
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.tiny import write_photos

FOLDER = "image_folder dataset.folder=photos dataset.image_size=[16,16]"


@pytest.fixture
def spoilt(tmp_path):
    """Photos in parts: one twice in train, one in train and test, one in 2 classes, two broken."""
    for part in ("train", "valid", "test"):
        write_photos(tmp_path / "photos" / part, count=6 if part == "train" else 2)
    train, valid, test = (tmp_path / "photos" / part for part in ("train", "valid", "test"))
    for folder in (valid, test):  # the generator draws the same for each
        for file in folder.rglob("*.png"):
            pixels = np.asarray(Image.open(file))
            Image.fromarray(pixels ^ (1 if folder is valid else 2)).save(file)
    shutil.copy(train / "cat" / "00.png", train / "cat" / "again.png")
    shutil.copy(train / "dog" / "01.png", test / "dog" / "leak.png")
    shutil.copy(train / "dog" / "02.png", train / "cat" / "disguised.png")
    (train / "cat" / "text.png").write_text("no image")
    (test / "dog" / "half.png").write_bytes((test / "dog" / "00.png").read_bytes()[:300])


def names(groups):
    return [[place["name"] for place in places] for places in groups]


def test_verify_finds_what_is_wrong_by_name(data, spoilt):
    code, out, _ = data(f"verify {FOLDER} --json")
    found = json.loads(out)
    assert (code, found["well"]) == (1, False)
    assert found["splits"]["train"]["classes"] == {"cat": 8, "dog": 6}
    assert found["splits"]["test"]["classes"] == {"cat": 2, "dog": 3}
    assert [file["file"] for file in found["broken"]] == ["train/cat/text.png", "test/dog/half.png"]
    assert names(found["leaks"]) == [["train/dog/01.png", "test/dog/leak.png"]]
    assert names(found["label_conflicts"]) == [["train/cat/disguised.png", "train/dog/02.png"]]
    assert sorted(names(found["duplicates"])) == [
        ["train/cat/00.png", "train/cat/again.png"],
        ["train/cat/disguised.png", "train/dog/02.png"],
    ]


def test_verify_tells_people_the_same(data, spoilt):
    code, out, _ = data(f"verify {FOLDER}")
    assert code == 1
    assert "Left out 2 files that are no images:\n  train/cat/text.png: " in out
    assert "1 image is in more than one split: LEAK" in out
    assert "  train train/dog/01.png (dog) = test test/dog/leak.png (dog)" in out
    assert "1 image is under more than one class" in out
    assert out.count("train/cat/again.png") == 1


def test_verify_of_good_data_is_well_and_leaves_no_decoded_photos(data, tmp_path):
    write_photos(tmp_path / "photos")
    code, out, _ = data(f"verify {FOLDER} dataset.label_map={{pet:[cat],beast:[dog]}}")
    assert code == 0
    assert "pet" in out
    assert "No image is in more than one split." in out
    assert not list(tmp_path.rglob("*.npy"))


def test_verify_warns_of_a_class_that_may_never_be_learnt(data, tmp_path):
    write_photos(tmp_path / "photos")
    for number in range(400):
        Image.new("L", (9, 9), number % 256).save(tmp_path / "photos" / "cat" / f"x{number}.png")
    out = data(f"verify {FOLDER} --json")[1]
    (warning,) = json.loads(out)["warnings"]
    assert "loss.class_weights=balanced" in warning
    assert warning in data(f"verify {FOLDER}")[1]
    assert "unbalanced" not in data(f"verify {FOLDER} loss.class_weights=balanced")[1]


def test_images_of_an_array_are_compared_by_their_pixels(tmp_path):
    from cnntrain.data.source import Examples, Splits
    from cnntrain.data.verify import verify_splits

    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(4, axis=1)
    images[4] = images[1]
    images[2] = images[0]
    rows = {"train": [0, 1, 2], "valid": [3], "test": [4, 5]}
    parts = {s: Examples(images, np.zeros(len(r), np.int32), np.array(r)) for s, r in rows.items()}
    found = verify_splits(
        Splits(**parts, class_names=("one",), origin=dict.fromkeys(rows, "official"))
    )
    assert [[str(copy) for copy in places] for places in found.leaks] == [
        ["train image 1 (one)", "test image 0 (one)"]
    ]
    assert [[str(copy) for copy in places] for places in found.duplicates] == [
        ["train image 0 (one)", "train image 2 (one)"]
    ]


def test_cats_and_dogs_are_verified_where_they_lie(data, archives):
    file = archives / "cats_and_dogs_700.zip"
    code, out, _ = data(f"verify image_folder dataset.folder={file} --json")
    found = json.loads(out)
    assert code == 0
    assert {split: part["classes"] for split, part in found["splits"].items()} == {
        "train": {"cats": 200, "dogs": 200},
        "valid": {"cats": 100, "dogs": 100},
        "test": {"cats": 50, "dogs": 50},
    }


@pytest.mark.slow
def test_cifar10_is_verified_in_less_than_a_minute_of_a_processor(command, cifar10_dir):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = command("data", "verify", "cifar10", f"data_dir={cifar10_dir}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime < 60
    assert re.search(r"all +45,000 +5,000 +10,000", done.stdout)
