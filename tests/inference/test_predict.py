"""`cnntrain predict`: it decodes photos as in training, and prints a row for each file."""

import csv
import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image


def parse_rows(out):
    return [json.loads(line) for line in out.splitlines()]


def map_names_to_probabilities(row):
    return {part["name"]: part["probability"] for part in row["classes"]}


def test_predictions_of_files_are_those_of_the_same_images_in_the_split(verb, digits, pngs):
    code, out, err = verb("predict", digits.folder, pngs, "--jsonl", "--top", "10")
    assert code == 0
    assert "300 images in" in err
    assert "images/s" in err
    found, expected = parse_rows(out), digits.probabilities()
    assert len(found) == 300
    for row in found:
        number = int(row["image"][-7:-4])
        mine = [map_names_to_probabilities(row)[str(n)] for n in range(10)]
        np.testing.assert_allclose(mine, expected[number], atol=1e-5)
        assert row["classes"][0]["probability"] == max(mine)


def test_a_broken_file_is_a_row_that_says_why(verb, digits, tmp_path):
    whole = io.BytesIO()
    Image.fromarray(digits.images[0][..., 0]).resize((200, 90)).save(whole, "PNG")
    files = {
        "half.png": whole.getvalue()[:300],
        "empty.jpg": b"",
        "notes.jpg": b"No pixels [bold]here[/bold].\n",
        "good.png": whole.getvalue(),
    }
    (tmp_path / "mixed").mkdir()
    for name, content in files.items():
        (tmp_path / "mixed" / name).write_bytes(content)
    code, out, _ = verb("predict", digits.folder, tmp_path / "mixed", "--jsonl")
    assert code == 0
    found = {row["image"].rpartition("/")[2]: row for row in parse_rows(out)}
    assert {name for name, row in found.items() if "error" in row} == set(files) - {"good.png"}
    assert found["empty.jpg"]["error"] == "it is empty"
    code, out, _ = verb("predict", digits.folder, tmp_path / "mixed")
    assert code == 0
    assert out.count(" broken ") == 3
    broken = [tmp_path / "mixed" / name for name in ("half.png", "empty.jpg")]
    assert verb("predict", digits.folder, *broken)[0] == 1


def test_csv_has_two_columns_for_each_of_the_top_classes(verb, digits, pngs):
    (pngs / "3" / "x.png").write_bytes(b"")
    code, out, _ = verb("predict", digits.folder, pngs / "3", "--csv", "--top", "2")
    assert code == 0
    table = list(csv.DictReader(io.StringIO(out)))
    columns = ["image", "error", "class_1", "probability_1", "class_2", "probability_2"]
    assert list(table[0]) == columns
    assert table[-1]["error"] == "it is empty"
    assert float(table[0]["probability_1"]) >= float(table[0]["probability_2"])


def predict_from_standard_input(digits, content, *words):
    """Return the rows that `cnntrain predict RUN -` prints, with `content` (bytes) as its input."""
    line = [sys.executable, "-m", "cnntrain", "predict", str(digits.folder), "-", "--jsonl", *words]
    done = subprocess.run(line, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return parse_rows(done.stdout.decode())


@pytest.mark.slow
def test_standard_input_is_paths_or_an_image(digits, pngs):
    files = sorted(pngs.rglob("*.png"))[:3]
    by_path = predict_from_standard_input(digits, "\n".join(map(str, files)).encode() + b"\n")
    assert [row["image"] for row in by_path] == [str(file) for file in files]
    (by_content,) = predict_from_standard_input(digits, files[0].read_bytes())
    assert by_content["image"] == "-"
    np.testing.assert_allclose(
        list(map_names_to_probabilities(by_content).values()),
        list(map_names_to_probabilities(by_path[0]).values()),
        atol=1e-6,
    )


@pytest.mark.slow
def test_predictions_of_loose_photos_have_the_confusion_of_evaluate(verb, cats, archives, tmp_path):
    with zipfile.ZipFile(archives / "cats_and_dogs_700.zip") as archive:
        archive.extractall(tmp_path)
    _, out, _ = verb("evaluate", cats.folder, "--json")
    evaluation = json.loads(out)
    names = [row["name"] for row in evaluation["classes"]]
    confusion = np.zeros((2, 2), int)
    code, out, _ = verb(
        "predict", cats.folder, tmp_path / "cats_and_dogs" / "validation", "--jsonl"
    )
    assert code == 0
    for row in parse_rows(out):
        is_cat = "/cats/" in row["image"]
        confusion[1 - is_cat, names.index(row["classes"][0]["name"])] += 1
    assert names == ["cats", "dogs"]
    assert confusion.tolist() == evaluation["confusion"]


MISTAKES = [
    ((), "no run is named"),
    (("RUN",), "no image is named"),
    (("RUN", "nothing.jpg"), "nothing.jpg is not there"),
    (("RUN", ".", "--top", "0"), "--top is 0"),
    (("RUN", ".", "--csv", "--jsonl"), "both given"),
    (("RUN", ".", "--weights", "imagenet"), "--model NAME"),
    (("nowhere", "."), "nowhere is not there"),
    (("--model", "mobilnet", "."), "--model mobilenet"),
    (("--model", "lenet5", "."), "--model is lenet5"),
    (("--model", "mobilenet", "epochs=3", "."), "epochs=3 is not for a published network"),
    (("--model", "mobilenet", "model.alpha=2x", "."), "model.alpha is 2x"),
]


@pytest.mark.parametrize(("words", "given"), MISTAKES)
def test_mistakes_are_answered(refusal, digits, words, given):
    words = [word.replace("RUN", str(digits.folder)) for word in words]
    assert given in str(refusal("predict", *words))


def test_an_empty_folder_is_a_mistake(refusal, digits, tmp_path):
    (tmp_path / "none").mkdir()
    assert "there is no image in" in str(refusal("predict", digits.folder, tmp_path / "none"))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Cut the network off, and give Keras an empty cache."""
    import requests

    def refuse(*arguments, **keywords):
        raise requests.ConnectionError("Network is unreachable")

    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def published(tmp_path):
    """Return a folder like Keras' published one, with random MobileNet weights, and the network."""
    import keras

    folder = tmp_path / "published"
    folder.mkdir()
    index = {str(n): [f"n{n:08}", f"thing_{n}"] for n in range(1000)}
    (folder / "imagenet_class_index.json").write_text(json.dumps(index))
    keras.utils.set_random_seed(0)
    whole = keras.applications.MobileNet(alpha=0.25, weights=None)
    whole.save_weights(folder / "mobilenet_2_5_224_tf.weights.h5")
    return folder, whole


@pytest.mark.slow
def test_a_published_network_needs_no_run(verb, offline, published, tmp_path):
    import keras

    folder, whole = published
    photo = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    words = ("model.alpha=0.25", f"weights_dir={folder}", tmp_path / "photo.png", "--jsonl")
    code, out, _ = verb(
        "predict", "--model", "mobilenet", "--weights", "imagenet", *words, "--top", 1000
    )
    assert code == 0
    found = map_names_to_probabilities(parse_rows(out)[0])
    pixels = keras.applications.mobilenet.preprocess_input(photo.astype(np.float32))
    expected = whole.predict(pixels[np.newaxis], verbose=0)[0]
    mine = [found[f"thing_{n}"] for n in range(1000)]
    np.testing.assert_allclose(mine, expected, atol=1e-6)


def test_a_missing_file_of_a_published_network_is_named(refusal, offline, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    words = ("--model", "mobilenet", "--weights", "imagenet", tmp_path / "photo.png")
    answer = str(refusal("predict", *words))
    assert "imagenet_class_index.json is not in" in answer
    assert "weights_dir=FOLDER_WITH_THE_FILE" in answer
    index = {str(n): [f"n{n:08}", f"thing_{n}"] for n in range(1000)}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(index))
    answer = str(refusal("predict", *words, f"weights_dir={tmp_path}"))
    assert "mobilenet_1_0_224_tf.h5 is neither in" in answer
    assert "try       weights_dir=FOLDER_WITH_THE_FILE, or --weights PATH" in answer
    assert "null" not in answer, "null, an untrained network, is no choice here"
    answer = str(refusal("predict", *words, f"weights_dir={tmp_path}", "model.weights=null"))
    assert "try       --weights imagenet" in answer
    answer = str(refusal("predict", *words, f"weights_dir={tmp_path}", "--weights", "nowhere.h5"))
    assert "--weights is nowhere.h5, which is not there" in answer
    assert "model.weights" not in answer
    (tmp_path / "imagenet_class_index.json").write_text("[1, 2]")
    answer = str(refusal("predict", *words, f"weights_dir={tmp_path}"))
    assert "does not hold the names of the classes" in answer
