"""`cnntrain evaluate --calibrate`, and what predict, export and the page make of it."""

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from cnntrain.inference.export_formats import FORMATS
from cnntrain.runs.calibration import read_calibration


@pytest.fixture(scope="module")
def calibrated(digits, tmp_path_factory):
    """Calibrate a copy of a run on digits through the command line, once."""
    from cnntrain.cli.evaluate import main

    folder = shutil.copytree(digits.folder, tmp_path_factory.mktemp("calibrated") / "run")
    assert main([str(folder), "--calibrate"]) == 0
    return folder


@pytest.fixture(scope="module")
def measured(calibrated):
    return json.loads((calibrated / "calibration_best.json").read_text())


def predict(verb, folder, *words):
    code, out, err = verb("predict", folder, *words, "--jsonl", "--top", "10")
    assert code == 0
    return [json.loads(line) for line in out.splitlines()], err


def test_what_is_said_is_what_numpy_finds(verb, digits, calibrated, measured):
    """Temperature, threshold, sets: a second implementation, from the network's own outputs."""
    calibration = read_calibration(calibrated, "best")
    logits = digits.network().predict(digits.images, verbose=0).astype(float)
    p = softmax(logits / calibration.temperature, axis=-1)
    test, rows = measured["test"], np.arange(len(p))
    features = calculate_features(digits)
    distances = 1 - (features(digits.images) @ calibration.bank.T).max(axis=1)
    sets = (p >= calibration.threshold) & (distances <= calibration.limit)[:, None]
    assert test["coverage"] == sets[rows, digits.labels].mean()
    assert test["mean_set_size"] == sets.sum(axis=1).mean()
    assert test["refused"] == (~sets.any(axis=1)).mean()
    one = sets.sum(axis=1) == 1
    assert test["accuracy"] == (p.argmax(axis=1) == digits.labels)[one].mean()
    assert test["loss_after"] == pytest.approx(-np.log(p[rows, digits.labels]).mean(), rel=1e-5)
    assert test["loss_before"] == digits.report["test"]["best"]["loss"]
    assert test["answered"] + test["several"] + test["refused"] == pytest.approx(1)
    assert measured["images"] == 144
    assert test["coverage"] > 0.8
    for number, row in enumerate(test["classes"]):
        mine = digits.labels == number
        assert (row["name"], row["images"]) == (str(number), mine.sum())
        assert row["coverage"] == sets[mine, number].mean()


def test_a_calibration_that_raises_the_loss_says_so(calibrated, measured, capsys):
    from cnntrain.inference.evaluate_report import print_calibration
    from cnntrain.reports.run_page import write_run_report

    page = calibrated / "report.html"
    print_calibration(measured | {"run": "run"})
    assert "raises the loss" not in capsys.readouterr().out + page.read_text()
    worse = measured["test"] | {"loss_after": 0.0829, "loss_before": 0.0433}
    print_calibration(measured | {"run": "run", "images": 32, "test": worse})
    said = "from 0.0433 to 0.0829: 32 validation images are few"
    assert said in capsys.readouterr().out
    file = calibrated / "calibration_best.json"
    text = file.read_text()
    file.write_text(json.dumps(measured | {"images": 32, "test": worse}))
    write_run_report(calibrated)
    file.write_text(text)
    assert said in page.read_text()


@pytest.mark.parametrize("name", ["17", "noise"])
def test_a_look_says_what_predict_says(verb, digits, calibrated, tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    image = noise if name == "noise" else digits.images[17][..., 0]
    Image.fromarray(image).save(tmp_path / "one.png")
    words = ("look", calibrated, tmp_path / "one.png")
    _, out, _ = verb(*words, "--output", tmp_path / "look")
    facts = json.loads((tmp_path / "look" / "look.json").read_text())
    (said,), _ = predict(verb, calibrated, tmp_path / "one.png")
    for row, other in zip(facts["classes"], said["classes"], strict=False):
        assert row["name"] == other["name"]
        assert row["probability"] == pytest.approx(other["probability"], abs=1e-6)
    assert (facts["set"], facts["refused"]) == (said["set"], said["refused"])
    page = (tmp_path / "look" / "look.html").read_text()
    assert said["refused"] == ("None of these (" in page) == out.startswith("none of these (")
    assert said["refused"] == (name == "noise")
    assert "calibrated on 144 validation images" in page
    plain = json.loads(
        verb(*words, "--no-calibration", "--json", "--output", tmp_path / "plain")[1]
    )
    assert plain["classes"][0]["probability"] != facts["classes"][0]["probability"]
    assert "set" not in plain


def test_nothing_is_promised_of_broken_files_alone(verb, calibrated, tmp_path):
    (tmp_path / "empty.png").touch()
    code, _, err = verb("predict", calibrated, tmp_path / "empty.png")
    assert (code, "none of these" in err) == (1, False)


def calculate_features(run):
    """Return a function from images to what the last dense layer reads, as unit vectors."""
    import keras

    network = run.network()
    model = network.layers[-1]
    last = [layer for layer in model.layers if layer.weights][-1]
    below = keras.Model(model.inputs, last.input)

    def calculate(images):
        x = below.predict(np.asarray(network.layers[1](images)), verbose=0)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    return calculate


def test_the_bank_is_made_of_training_images(digits, calibrated):
    from cnntrain.spec.build import build_spec
    from cnntrain.spec.compose import compose_config
    from helpers.trained_runs import WORDS

    train = build_spec(compose_config(WORDS).config).load_splits().train
    bank = read_calibration(calibrated, "best").bank
    assert len(bank) == len(train) == 300
    np.testing.assert_allclose(bank, calculate_features(digits)(train.images), atol=1e-5)


def test_predict_gives_sets_and_refusals(verb, digits, calibrated, measured, pngs):
    rows, err = predict(verb, calibrated, pngs)
    assert "300 images in" in err
    refused = sum(row["refused"] for row in rows)
    assert f"{refused} of 300 are none of these" in err
    assert "90 % have their class in the set" in err
    assert refused / 300 == pytest.approx(measured["test"]["refused"])
    hits = [str(digits.labels[int(row["image"][-7:-4])]) in row["set"] for row in rows]
    assert np.mean(hits) == pytest.approx(measured["test"]["coverage"])
    for row in rows:
        assert row["temperature"] == measured["temperature"]
        assert row["refused"] == (row["set"] == [])
        likely = [c["name"] for c in row["classes"] if c["probability"] >= measured["threshold"]]
        assert row["set"] == (likely if row["unfamiliarity"] <= 1 else [])


def test_predict_can_do_without(verb, digits, calibrated, pngs):
    plain = verb("predict", digits.folder, pngs / "3", "--jsonl")[1]
    assert verb("predict", calibrated, pngs / "3", "--jsonl", "--no-calibration")[1] == plain
    assert "temperature" not in plain


def test_images_of_another_kind_are_none_of_these(verb, calibrated, tmp_path):
    from PIL import Image

    (tmp_path / "noise").mkdir()
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = random.integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "noise" / f"{number}.png")
    rows, _ = predict(verb, calibrated, tmp_path / "noise")
    assert np.mean([row["refused"] for row in rows]) > 0.9
    out = verb("predict", calibrated, tmp_path / "noise")[1]
    assert out.count("none of these") > 36
    assert "(unfamiliar)" in out
    (tmp_path / "noise" / "broken.png").write_bytes(b"")
    out = verb("predict", calibrated, tmp_path / "noise", "--csv", "--top", "1")[1]
    table = list(csv.DictReader(io.StringIO(out)))
    columns = ["image", "error", "class_1", "probability_1", "set", "refused"]
    assert list(table[0]) == columns
    assert table[0] | {"set": "", "refused": "true"} == table[0]
    assert (table[-1]["error"], table[-1]["refused"]) == ("it is empty", "")


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_gives_what_predict_gives(verb, digits, calibrated, tmp_path, name):
    pytest.importorskip({"onnx": "tf2onnx", "tflite": "ai_edge_litert"}.get(name, "keras"))
    target = tmp_path / f"digits{FORMATS[name].suffix}"
    words = ("--format", name, "--output", target, "--json")
    code, out, _ = verb("export", calibrated, *words)
    assert code == 0
    about = json.loads(out.splitlines()[-1])
    assert about["largest_difference"] < 1e-4
    assert about["distance_difference"] < 1e-4
    assert about["changed_sets"] == 0
    calibration, path = read_calibration(calibrated, "best"), Path(about["path"])
    p = FORMATS[name].run(path)(digits.images)
    logits = digits.network().predict(digits.images, verbose=0).astype(float)
    np.testing.assert_allclose(p, softmax(logits / calibration.temperature, axis=-1), atol=1e-5)
    unfamiliarity = FORMATS[name].run(path, "unfamiliarity")(digits.images)
    assert unfamiliarity.shape == (300,)
    distances = 1 - (calculate_features(digits)(digits.images) @ calibration.bank.T).max(axis=1)
    np.testing.assert_allclose(unfamiliarity, distances / calibration.limit, atol=1e-3)
    rule = read_rule(name, path)
    assert rule["threshold"] == calibration.threshold
    assert rule["weights"] == "best"
    assert "limit" not in rule


def read_rule(name, path):
    """Return the JSON that an export contains on its calibration."""
    if name == "onnx":
        import onnxruntime

        properties = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        return json.loads(properties["calibration"])
    if name == "savedmodel":
        return json.loads((path / "assets.extra" / "calibration.json").read_text())
    return json.loads(zipfile.ZipFile(path).read("calibration.json"))


def test_evaluate_says_that_it_measures_the_network_as_it_was_trained(verb, digits, calibrated):
    said = f"Note: {calibrated} is calibrated, which predict and export use; here it is measured as"
    assert said in verb("evaluate", calibrated)[1]
    assert "is calibrated" not in verb("evaluate", calibrated, "--weights", "final")[1]
    assert "is calibrated" not in verb("evaluate", digits.folder)[1]


def test_an_export_can_do_without(verb, digits, calibrated, tmp_path):
    words = ("--format", "keras", "--no-calibration", "--output", tmp_path / "x.keras")
    code, out, _ = verb("export", calibrated, *words)
    assert code == 0
    assert "as trained: the calibration of the run is left out" in out
    assert "calibration.json" not in zipfile.ZipFile(tmp_path / "x.keras").namelist()
    found = FORMATS["keras"].run(tmp_path / "x.keras")(digits.images)
    np.testing.assert_allclose(found, digits.probabilities(), atol=1e-6)


def test_evaluate_prints_and_the_page_shows_it(verb, calibrated, tmp_path):
    copy = shutil.copytree(calibrated, tmp_path / "run")
    code, out, _ = verb("evaluate", copy, "--calibrate", "--coverage", "0.8")
    assert code == 0
    found = json.loads((copy / "calibration_best.json").read_text())
    assert found["coverage"] == 0.8
    assert found["threshold"] > read_calibration(calibrated, "best").threshold
    for part in (
        "calibrated on 144 validation images", f"temperature {found['temperature']:.3f}",
        "80.00 % have their class in the set", f"{100 * found['test']['coverage']:.2f} %",
        "none of these", "as trained", "calibration error", str(copy / "report.html"),
    ):  # fmt: skip
        assert part in out, part
    assert max(map(len, out.splitlines()[3:])) <= 140
    page = (copy / "report.html").read_text()
    assert "<h2>None of these</h2>" in page
    assert f"{100 * found['test']['coverage']:.2f} %" in page
    assert "class in the set" in page


def test_json_has_everything_and_the_same_numbers_again(verb, calibrated, tmp_path):
    copy = shutil.copytree(calibrated, tmp_path / "run")
    before = json.loads((copy / "calibration_best.json").read_text())
    code, out, _ = verb("evaluate", copy, "--calibrate", "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert {key: found[key] for key in before} == before
    assert json.loads((copy / "calibration_best.json").read_text()) == before


def test_a_calibration_of_other_weights_is_noticed(verb, refusal, calibrated, tmp_path, pngs):
    """A run that was resumed has other weights; one that was only copied has not."""
    copy = shutil.copytree(calibrated, tmp_path / "run")
    assert verb("predict", copy, pngs / "3")[0] == 0
    shutil.copy(copy / "final.keras", copy / "best.keras")
    for words in (("predict", copy, pngs), ("export", copy, "--format", "keras")):
        answer = refusal(*words)
        assert "calibration_best.json belongs to other weights" in answer.given
        assert answer.hint == f"cnntrain evaluate {copy} --calibrate --weights best"
    assert verb("predict", copy, pngs / "3", "--no-calibration")[0] == 0
    assert verb("report", copy)[0] == 0
    assert "belongs to other weights" in (copy / "report.html").read_text()
    assert verb("predict", copy, pngs / "3", "--weights", "final")[0] == 0  # has none of its own
    assert verb("evaluate", copy, "--calibrate")[0] == 0
    assert verb("predict", copy, pngs / "3")[0] == 0


DAMAGES = {
    "no temperature": {"temperature": None}, "a text": {"threshold": "much"},
    "cold": {"temperature": 0}, "negative": {"limit": -1.0}, "newer": {"format": 2},
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_calibration_is_refused_by_name(
    verb, refusal, calibrated, tmp_path, pngs, damage
):
    copy = shutil.copytree(calibrated, tmp_path / "run")
    file = copy / "calibration_best.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | DAMAGES[damage]))
    assert "calibration_best.json cannot be used" in str(refusal("predict", copy, pngs))
    assert verb("report", copy)[0] == 0


def test_a_page_without_what_was_measured_says_so(verb, calibrated, tmp_path):
    copy = shutil.copytree(calibrated, tmp_path / "run")
    file = copy / "calibration_best.json"
    facts = json.loads(file.read_text())
    del facts["test"]["coverage_interval"]
    file.write_text(json.dumps(facts))
    assert verb("report", copy)[0] == 0
    page = (copy / "report.html").read_text()
    assert "The calibration is not used" in page
    assert "it has no coverage_interval" in page


def test_a_bank_that_is_gone_is_named(refusal, calibrated, tmp_path, pngs):
    copy = shutil.copytree(calibrated, tmp_path / "run")
    (copy / "calibration_best.npz").unlink()
    assert "calibration_best.npz cannot be used" in str(refusal("predict", copy, pngs))


MISTAKES = [
    (("RUN", "RUN", "--calibrate"), "--calibrate and several runs"),
    (("RUN", "--calibrate", "--views", "mirrored"), "--calibrate and --views"),
    (("RUN", "--calibrate", "--flips"), "--calibrate and --flips"),
    (("RUN", "--calibrate", "--fgsm", "0"), "--calibrate and --fgsm"),
    (("RUN", "--calibrate", "--split", "train"), "--calibrate and --split train"),
    (("RUN", "--calibrate", "--coverage", "90"), "--coverage is 90"),
    (("RUN", "--calibrate", "--coverage", "nan"), "--coverage is nan"),
    (("RUN", "--coverage", "0.9"), "nothing is calibrated"),
    (("RUN", "--calibrate", "--coverage", "0.99"), "cannot promise a coverage of 0.99"),
    (("RUN", "--calibrate", "--weights", "ema"), "has no ema.keras"),
    (("RUN", "--calibrate", "dataset.split_seed=5"), "not the images that"),
]


@pytest.mark.parametrize(("words", "given"), MISTAKES)
def test_mistakes_are_answered(refusal, digits, words, given):
    words = [word.replace("RUN", str(digits.folder)) for word in words]
    assert given in str(refusal("evaluate", *words))
    assert not list(digits.folder.glob("calibration*"))


@pytest.mark.slow
def test_a_run_without_validation_and_a_refit_cannot_be_calibrated(refusal, training):
    words = ("epochs=1", "dataset.limit=100", "batch_size=50")
    answer = refusal("evaluate", training(*words, "dataset.valid=0").folder, "--calibrate")
    assert answer.given.startswith("dataset.valid is 0: ")
    refit = training(*words, "refit=true").folder
    answer = refusal("evaluate", refit, "--calibrate", "--weights", "refit")
    assert "refit.keras has learnt from the validation images" in answer.given
