"""`cnntrain look`: what a network sees in one picture, checked against formulas of others."""

import json
import re
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from PIL import Image

FILES = {
    "adversarial.png", "filters.png", "grad_cam.png", "look.html", "look.json", "maps.png",
    "misread.png", "patches.png", "picture.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def looked(digits, tmp_path_factory):
    """A look at test image 17 of the digits: the folder, and what was found."""
    from cnntrain.cli import run_verb

    folder = tmp_path_factory.mktemp("look") / "seven"
    words = ["look", str(digits.folder), "--test", "17", "--output", str(folder)]
    assert run_verb(words) == 0
    return folder, json.loads((folder / "look.json").read_text())


def test_a_look_is_a_page_and_pictures(looked):
    folder, _ = looked
    assert {file.name for file in folder.iterdir()} == FILES
    page = (folder / "look.html").read_text()
    for part in (
        "What the network sees in test image 17", "lenet5 on digits", "best weights", "outline",
        "Sobel, left to right", "filter 0", "Feature maps", "training images", "Grad-CAM for",
        "How little makes it err",
    ):  # fmt: skip
        assert part in page, part
    assert len(page) < 5_000_000
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?!data:)[\w/.:]""", page) == []
    assert re.findall(r"@import|url\(|plotly", page) == []
    assert not list(folder.parent.glob(".*"))  # nothing is left of the writing


def test_the_numbers_are_those_of_predict(looked, digits, verb):
    """Of the test image, and of the misread picture, which the page says to be exact."""
    folder, facts = looked
    expected = digits.probabilities()[17]
    mine = {row["name"]: row["probability"] for row in facts["classes"]}
    assert list(mine) == [str(n) for n in np.argsort(-expected)[:5]]
    np.testing.assert_allclose([*mine.values()], sorted(expected)[:-6:-1], atol=1e-6)
    assert facts["truth"] == str(digits.labels[17])
    _, out, _ = verb("predict", digits.folder, folder / "misread.png", "--jsonl", "--top", 5)
    again, after = json.loads(out)["classes"], facts["adversarial"]["classes"]
    assert [row["name"] for row in again] == [row["name"] for row in after]
    for one, other in zip(again, after, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)


def test_no_pixel_is_moved_farther_than_asked(looked, digits):
    moved = np.asarray(Image.open(looked[0] / "misread.png")).astype(int)
    assert np.abs(moved - digits.images[17][..., 0]).max() == 8


def test_a_photo_is_looked_at_below_the_run_and_again_in_its_place(verb, digits, tmp_path):
    paths = [tmp_path / name / "one.png" for name in ("a", "b")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        Image.fromarray(digits.images[number][..., 0]).resize((90, 60)).save(path)
    folders = []
    for path in (*paths, paths[0]):
        code, out, _ = verb("look", digits.folder, path)
        assert code == 0
        assert len(out.splitlines()) == 7  # five classes, the attack, the page
        folders.append(out.splitlines()[-1])
    assert folders[0] == folders[2] == f"{digits.folder / 'look' / 'one'}/look.html"
    assert folders[1] == f"{digits.folder / 'look' / 'one_2'}/look.html"
    shutil.rmtree(digits.folder / "look")


def test_a_chosen_filter_is_found_where_it_answers_most(verb, digits, tmp_path):
    """The convolution, and its highest position, by numpy."""
    from cnntrain.spec import spec

    import keras
    import yaml

    words = ("--layer", "conv2d", "--filter", "3", "--output", tmp_path / "look", "--json")
    code, out, _ = verb("look", digits.folder, "--test", "0", *words)
    assert code == 0
    assert json.loads(out)["filter"] == {
        "layer": "conv2d", "filter": 3, "field": [5, 5], "training_images": 180, "of": 180,
        "highest": json.loads(out)["filter"]["highest"],
    }  # fmt: skip
    train = spec(yaml.safe_load((digits.folder / "spec.yaml").read_text())).splits().train
    network = digits.network()
    first = network.layers[1]
    layer = network.layers[2].get_layer("conv2d")
    maps = np.asarray(layer(first(keras.ops.convert_to_tensor(train.images))))[..., 3]
    expected = np.sort(maps.max(axis=(1, 2)))[:-10:-1]
    found = [row["value"] for row in json.loads(out)["filter"]["highest"]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
