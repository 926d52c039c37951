"""`cnntrain look`: the page about one picture, its numbers checked against published formulas."""

import importlib.util
import json
import re
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from PIL import Image

WORDS = ("epochs=10", "dataset.limit=300", "batch_size=20", "log_every=100")  # of the run `digits`

FILES = {
    "adversarial.png", "filters.png", "grad_cam.png", "look.html", "look.json", "maps.png",
    "misread.png", "patches.png", "picture.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def look(digits, tmp_path_factory):
    """Return the folder and the facts of a look at test image 17 of the digits."""
    from cnntrain.cli.main import run_verb

    folder = tmp_path_factory.mktemp("look") / "seven"
    words = ["look", str(digits.folder), "--test", "17", "--output", str(folder)]
    assert run_verb(words) == 0
    return folder, json.loads((folder / "look.json").read_text())


def test_a_look_writes_a_page_and_pictures(look):
    folder, _ = look
    assert {file.name for file in folder.iterdir()} == FILES
    page = (folder / "look.html").read_text()
    for part in (
        "What the network sees in test image 17", "lenet5 on digits", "best weights", "outline",
        "Sobel, left to right", "filter 0", "Feature maps", "training images", "Grad-CAM for",
        "What does not make it err", "still taken for 9",
    ):  # fmt: skip
        assert part in page, part
    assert len(page) < 5_000_000
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?!data:)[\w/.:]""", page) == []
    assert re.findall(r"@import|url\(|plotly", page) == []
    assert not list(folder.parent.glob(".*"))  # nothing is left of the writing


def test_probabilities_are_those_of_predict(look, digits, verb):
    """They are compared for the test image, and for misread.png, which is exact to the pixel."""
    folder, facts = look
    expected = digits.probabilities()[17]
    mine = {row["name"]: row["probability"] for row in facts["classes"]}
    assert list(mine) == [str(n) for n in np.argsort(-expected)[:5]]
    np.testing.assert_allclose([*mine.values()], sorted(expected)[:-6:-1], atol=1e-6)
    assert facts["truth"] == str(digits.labels[17])
    _, out, _ = verb("predict", digits.folder, folder / "misread.png", "--jsonl", "--top", 5)
    predicted, recorded = json.loads(out)["classes"], facts["adversarial"]["classes"]
    assert [row["name"] for row in predicted] == [row["name"] for row in recorded]
    for row, other in zip(predicted, recorded, strict=True):
        assert row["probability"] == pytest.approx(other["probability"], abs=1e-6)


def test_no_pixel_is_moved_farther_than_epsilon(look, digits):
    moved = np.asarray(Image.open(look[0] / "misread.png")).astype(int)
    assert np.abs(moved - digits.images[17][..., 0]).max() == 8


def test_each_photo_has_its_own_folder_below_the_run(verb, digits, tmp_path):
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


def test_patches_are_those_with_the_highest_values_of_the_filter(verb, digits, spec, tmp_path):
    """The nine highest values of a convolution, and their boxes, are computed in numpy."""
    words = ("--layer", "conv2d", "--filter", "3", "--output", tmp_path / "look", "--json")
    code, out, _ = verb("look", digits.folder, "--test", "0", *words, "--epsilon", "60")
    assert code == 0
    best, moved = json.loads(out)["classes"][0], json.loads(out)["adversarial"]["classes"][0]
    assert best["name"] != moved["name"]
    assert "How little makes it err" in (tmp_path / "look" / "look.html").read_text()
    facts = json.loads(out)["filter"]
    assert (facts["layer"], facts["filter"], facts["field"]) == ("conv2d", 3, [5, 5])
    train, network = spec(*WORDS).load_splits().train, digits.network()
    assert facts["training_images"] == facts["of"] == len(train)
    kernel, bias = (np.asarray(v) for v in network.layers[2].get_layer("conv2d").weights)
    scaled = np.asarray(network.layers[1](train.images.astype(np.float32)))
    windows = np.lib.stride_tricks.sliding_window_view(scaled, (5, 5), axis=(1, 2))
    maps = np.einsum("nhwcij,ijc->nhw", windows, kernel[..., 3]) + bias[3]
    best = np.argsort(-maps.max(axis=(1, 2)), kind="stable")[:9]
    for row, n in zip(facts["highest"], best, strict=True):
        top, left = np.unravel_index(maps[n].argmax(), maps[n].shape)
        assert row["box"] == [top, left, top + 5, left + 5]
        assert row["class"] == str(train.labels[n])
        assert row["value"] == pytest.approx(maps[n].max(), rel=1e-4)


def test_grad_cam_is_for_the_target_class(verb, digits, tmp_path):
    words = ("--target", "4", "--epsilon", "1", "--output", tmp_path / "look", "--json")
    _, out, _ = verb("look", digits.folder, "--test", "0", *words)
    assert json.loads(out)["grad_cam"] == {"class": "4", "layer": "conv2d_1", "maps": [10, 10]}
    assert "Where it looks for 4" in (tmp_path / "look" / "look.html").read_text()


def test_a_network_without_a_convolution_has_fewer_sections(verb, refusal, training, tmp_path):
    run = training("model=mlp_256_128", "epochs=1", "dataset.limit=100", "batch_size=20").folder
    code, out, _ = verb("look", run, "--test", "0", "--output", tmp_path / "look")
    assert code == 0
    assert "The network has no convolution" in out
    found = {file.name for file in (tmp_path / "look").iterdir()}
    assert found == FILES - {"maps.png", "patches.png", "grad_cam.png"}
    assert "which has no feature maps" in str(
        refusal("look", run, "--test", "0", "--layer", "dense")
    )


MISTAKES = [
    ((), "no run is named"),
    (("RUN",), "no image is named"),
    (("RUN", "nothing.jpg"), "nothing.jpg is not there"),
    (("RUN", "BROKEN"), "broken.jpg is broken: "),
    (("RUN", "FOLDER"), "is a folder"),
    (("RUN", "BROKEN", "BROKEN"), "2 images are named"),
    (("RUN", "BROKEN", "--test", "3"), "are both given"),
    (("RUN", "--test", "9999"), "the number of a test image, 0 to "),
    (("RUN", "--test", "-1"), "--test is -1"),
    (("RUN", "--test", "0", "--target", "ten"), "0, 1, 2"),
    (("RUN", "--test", "0", "--epsilon", "0"), "1 to 255"),
    (("RUN", "--test", "0", "--layer", "conv2_d"), "try       --layer conv2d"),
    (("RUN", "--test", "0", "--layer", "dense"), "which has no feature maps"),
    (("RUN", "--test", "0", "--layer", "conv2d", "--filter", "6"), "0 to 5"),
    (("RUN", "--test", "0", "--layer", "max_pooling2d", "--filter", "6"), "0 to 5"),
    (("RUN", "--test", "0", "--filter", "3"), "--filter is 3 and no --layer is given"),
    (("RUN", "--test", "0", "--output", "FOLDER"), "which is not empty"),
    (("RUN", "--test", "0", "--output", "BROKEN"), "which is a file"),
    (("RUN", "--test", "0", "epochs=3"), "epochs cannot be set for a trained network"),
]


def save_mobilenet_weights(folder, include_top):
    """Write random weights of the narrowest MobileNet as Keras names its published ones."""
    import keras

    folder.mkdir()
    index = {str(n): [f"n{n:08}", f"thing_{n}"] for n in range(1000)}
    (folder / "imagenet_class_index.json").write_text(json.dumps(index))
    keras.utils.set_random_seed(0)
    whole = keras.applications.MobileNet(
        (224, 224, 3), alpha=0.25, include_top=include_top, weights=None
    )
    end = "" if include_top else "_no_top"
    file = folder / f"mobilenet_2_5_224_tf{end}.weights.h5"
    whole.save_weights(file)
    return file, whole


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_weights_without_a_top_show_filters_and_no_classes(verb, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, _ = save_mobilenet_weights(tmp_path / "published", include_top=False)
    words = ("--weights", file, "model.alpha=0.25", photo)
    code, out, _ = verb("look", "--model", "mobilenet", *words, "--layer", "conv1", "--filter", "1")
    assert code == 0
    assert out.splitlines()[-1] == "look/photo/look.html"
    assert "The weights have no top" in out
    found = {file.name for file in (tmp_path / "look" / "photo").iterdir()}
    assert found == FILES - {"grad_cam.png", "adversarial.png", "misread.png"}
    page = (tmp_path / "look" / "photo" / "look.html").read_text()
    assert "mobilenet · alpha 0.25 · weights mobilenet_2_5_224_tf_no_top.weights.h5" in page
    assert "features of the picture, and no classes" in page
    assert json.loads((tmp_path / "look" / "photo" / "look.json").read_text())["classes"] == []


@pytest.mark.slow
def test_a_published_network_is_looked_into_like_a_run(verb, photo, tmp_path):
    import keras

    file, whole = save_mobilenet_weights(tmp_path / "published", include_top=True)
    words = ("model.alpha=0.25", f"weights_dir={file.parent}", "--output", tmp_path / "look", photo)
    code, out, _ = verb("look", "--model", "mobilenet", *words, "--target", "thing_5", "--json")
    assert code == 0
    facts = json.loads(out)
    assert {file.name for file in (tmp_path / "look").iterdir()} == FILES
    assert facts["grad_cam"]["class"] == "thing_5"
    pixels = np.asarray(Image.open(photo)).astype(np.float32)
    pixels = keras.applications.mobilenet.preprocess_input(pixels)
    expected = whole.predict(pixels[np.newaxis], verbose=0)[0]
    for row in facts["classes"]:
        index = int(row["name"].removeprefix("thing_"))
        assert row["probability"] == pytest.approx(expected[index], abs=1e-6)


PUBLISHED_MISTAKES = [
    (("--model", "mobilnet"), "try       --model mobilenet"),
    (("--model", "lenet5"), "--model is lenet5"),
    (("--model", "mobilenet"), "no image is named"),
    (("--model", "mobilenet", "nothing.jpg"), "nothing.jpg is not there"),
    (("--model", "mobilenet", "--test", "3"), "--test is 3, and --model is no run"),
    (("--model", "mobilenet", "--weights", "no.h5", "PHOTO"), "--weights is no.h5, which is not"),
    (("--model", "mobilenet", "epochs=3", "PHOTO"), "epochs=3 is not for a published network"),
    (("--model", "mobilenet", "--filter", "3", "PHOTO"), "no --layer is given"),
    (("--weights", "imagenet", "PHOTO"), "try       --model NAME --weights imagenet"),
    (("--weights", "bset", "PHOTO"), "best, final, ema, refit"),
]


@pytest.mark.parametrize(("words", "given"), PUBLISHED_MISTAKES)
def test_mistakes_with_a_published_network_are_answered(refusal, photo, words, given):
    assert given in str(refusal("look", *(photo if word == "PHOTO" else word for word in words)))


@pytest.mark.parametrize(("words", "given"), MISTAKES)
def test_mistakes_are_answered(refusal, digits, tmp_path, words, given):
    broken = tmp_path / "folder" / "broken.jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"\xff\xd8\xff")
    names = {"RUN": digits.folder, "BROKEN": broken, "FOLDER": broken.parent}
    assert given in str(refusal("look", *(names.get(word, word) for word in words)))
    assert [file.name for file in broken.parent.iterdir()] == ["broken.jpg"]
    assert not (digits.folder / "look").exists()


@pytest.mark.slow
def test_the_probability_of_a_single_unit_is_that_of_the_second_class(verb, one_logit, tmp_path):
    words = ("--test", "5", "--output", tmp_path / "look", "--json")
    code, out, _ = verb("look", one_logit.folder, *words)
    assert code == 0
    logit = one_logit.network().predict(one_logit.images[5:6], verbose=0)[0, 0]
    probabilities = {row["name"]: row["probability"] for row in json.loads(out)["classes"]}
    second = json.loads((one_logit.folder / "run.json").read_text())["class_names"][1]
    assert probabilities[second] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


# Boxes around the cats: top, left, bottom and right as shares of the photo.
CATS = {
    "cat.2021.jpg": (0.28, 0.20, 0.75, 0.88),
    "cat.2027.jpg": (0.18, 0.30, 0.75, 0.72),
    "cat.2030.jpg": (0.10, 0.18, 1.00, 0.70),
}


@pytest.mark.slow
def test_grad_cam_lies_on_the_cat(cats, archives):
    from cnntrain.data.photos.photo import decode_photo
    from cnntrain.inference.classifier import open_classifier
    from cnntrain.visualization.grad_cam import compute_grad_cam
    from cnntrain.visualization.layer_outputs import find_last_feature_maps, list_layer_outputs

    classifier = open_classifier(str(cats.folder))
    network = classifier.load_network()
    place = find_last_feature_maps(list_layer_outputs(network))
    assert place.name == "conv_pw_13_relu"
    with zipfile.ZipFile(archives / "cats_and_dogs_700.zip") as archive:
        for name, box in CATS.items():
            photo = archive.read(f"cats_and_dogs/validation/cats/{name}")
            pixels = decode_photo(photo, classifier.frame).pixels
            found = compute_grad_cam(network, pixels, place.name, 0)
            top, left, bottom, right = (round(224 * edge) for edge in box)
            heat = np.asarray(Image.fromarray(found).resize((224, 224), Image.Resampling.BILINEAR))
            on_the_cat = heat[top:bottom, left:right].sum() / heat.sum()
            assert on_the_cat > 1.5 * (bottom - top) * (right - left) / 224**2, (name, on_the_cat)


@pytest.mark.slow
def test_without_the_data_the_patches_are_left_out(verb, cats, archives, tmp_path):
    with zipfile.ZipFile(archives / "cats_and_dogs_700.zip") as archive:
        photo = archive.extract("cats_and_dogs/validation/cats/cat.2003.jpg", tmp_path)
    places = (f"data_dir={tmp_path / 'none'}", "manual_dir=null")
    code, out, _ = verb("look", cats.folder, photo, "--output", tmp_path / "look", *places)
    assert code == 0
    assert "the run's data is not here" in out
    page = (tmp_path / "look" / "look.html").read_text()
    assert "where it is highest" in page
    assert "training images</h3>" not in page
    assert len(page) < 5_000_000


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_the_page_without_an_error_or_a_request(look, tmp_path):
    log = tmp_path / "net.json"
    words = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        "--virtual-time-budget=5000", f"--log-net-log={log}", "--window-size=1280,4000",
        "--dump-dom", f"file://{look[0] / 'look.html'}",
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    urls = re.findall(r'"url":"(https?:[^"]*)"', log.read_text())
    own_hosts = ("google", "gvt1", "chrome")  # the browser itself asks these
    assert [url for url in urls if not any(host in url for host in own_hosts)] == []
    assert done.stdout.count("<img") > 40


def test_missing_test_images_are_a_mistake(refusal, digits, spec, tmp_path):
    from cnntrain.data.inventory import is_dataset_here

    assert is_dataset_here(spec(*WORDS))
    assert not is_dataset_here(spec("dataset=mnist", f"data_dir={tmp_path}"))
    assert not is_dataset_here(
        spec("dataset=tfds", "dataset.tfds=rock_paper", f"data_dir={tmp_path}")
    )
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").touch()
    assert is_dataset_here(spec("dataset=mnist", f"data_dir={tmp_path}"))
    words = ("--test", "0", "dataset=cifar10", f"data_dir={tmp_path}")
    assert "the run's data is not in" in str(refusal("look", digits.folder, *words))


def test_another_backend_than_tensorflow_is_refused(refusal, digits, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    assert "try       KERAS_BACKEND=tensorflow" in str(refusal("look", digits.folder, "--test", 0))
