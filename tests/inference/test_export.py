"""`cnntrain export`: a file is kept if it predicts, in its own runtime, what the network does."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnntrain.cli import export
from cnntrain.inference.export_formats import FORMATS
from cnntrain.inference.parity import Parity, compare_predictions

# Programs that run an exported file in a process where cnntrain cannot be imported.
RUNTIME_PROGRAMS = {
    "savedmodel": """
import tensorflow as tf
run = tf.saved_model.load(path).signatures["serving_default"]
found = run(images=tf.constant(images))["probabilities"].numpy()
labels = open(path + "/assets.extra/labels.txt").read().split()
""",
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession(path)
found = session.run(["probabilities"], {"images": images})[0]
labels = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
""",
    "tflite": """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(path)
run = interpreter.get_signature_runner()
found = np.concatenate([run(images=image[None])["probabilities"] for image in images])
labels = zipfile.ZipFile(path).read("labels.txt").decode().split()
""",
    "keras": """
import keras
found = keras.models.load_model(path).predict(images, verbose=0)
labels = zipfile.ZipFile(path).read("labels.txt").decode().split()
""",
}
PROLOGUE = """
import json, sys, zipfile
import numpy as np
class NoCnntrain:
    def find_spec(self, name, *more):
        assert name.partition(".")[0] != "cnntrain"
sys.meta_path.insert(0, NoCnntrain())
path, images = sys.argv[1], np.load("images.npy")
"""
EPILOGUE = """
np.save("found.npy", found)
print(json.dumps(labels))
"""


def predict_without_cnntrain(name, path, images, folder):
    """Return probabilities and labels from a process that has only the file and its runtime."""
    np.save(folder / "images.npy", images)
    line = [sys.executable, "-c", PROLOGUE + RUNTIME_PROGRAMS[name] + EPILOGUE, str(path)]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    options = {"cwd": folder, "env": clean, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(line, **options)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "found.npy"), json.loads(done.stdout.splitlines()[-1])


def export_run(verb, run, folder, name, *words):
    """Export a run into `folder`, and return what `cnntrain export --json` prints."""
    pytest.importorskip({"onnx": "tf2onnx", "tflite": "ai_edge_litert"}.get(name, "keras"))
    target = folder / f"digits{FORMATS[name].suffix}"
    code, out, _ = verb("export", run, "--format", name, "--output", target, "--json", *words)
    assert code == 0
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("name", FORMATS)
def test_an_exported_file_predicts_what_the_network_predicts(verb, digits, tmp_path, name):
    about = export_run(verb, digits.folder, tmp_path, name)
    assert about["images"] == 256
    assert about["largest_difference"] < 1e-4
    assert about["changed"] == 0
    found = FORMATS[name].run(Path(about["path"]))(digits.images)
    np.testing.assert_allclose(found, digits.probabilities(), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == [f"digits{FORMATS[name].suffix}"]


def test_eight_bit_weights_take_less_space_and_predict_nearly_the_same(verb, digits, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = export_run(verb, digits.folder, tmp_path / "whole", "tflite")
    about = export_run(verb, digits.folder, tmp_path, "tflite", "--quantize", "int8")
    assert about["bytes"] < 0.4 * whole["bytes"]
    assert about["changed"] <= 0.05 * about["images"]
    assert 0 < about["mean_difference"] < 0.05


@pytest.mark.parametrize("name", ["savedmodel", "keras"])  # a folder and a file
def test_a_file_that_predicts_something_else_is_removed(verb, digits, tmp_path, monkeypatch, name):
    honest = FORMATS[name]

    def dishonest(path):
        run = honest.run(path)
        return lambda images: run(images) + np.float32(2e-4)

    changed = FORMATS | {name: replace(honest, run=dishonest)}
    monkeypatch.setattr(export, "FORMATS", changed)
    target = tmp_path / f"x{honest.suffix}"
    code, out, err = verb("export", digits.folder, "--format", name, "--output", target)
    assert code == 1
    assert "does not predict what" in err
    assert "2.0e-04 at most" in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_failed_conversion_leaves_no_file(verb, digits, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no such operation: Frobnicate")

    honest = FORMATS["onnx"]
    broken = FORMATS | {"onnx": replace(honest, write=fails)}
    monkeypatch.setattr(export, "FORMATS", broken)
    target = tmp_path / "new.onnx"
    code, _, err = verb("export", digits.folder, "--format", "onnx", "--output", target)
    assert code == 1
    assert "cannot be exported as onnx: RuntimeError: no such operation: Frobnicate" in err
    assert list(tmp_path.iterdir()) == []


def test_nan_is_close_to_nothing():
    p = np.full((9, 2), 0.5, np.float32)
    images = np.zeros((9, 2, 2, 1), np.uint8)
    nan = compare_predictions(lambda images: np.full((len(images), 2), np.nan), images, p)
    assert not nan.is_close(quantized=False)
    assert not nan.is_close(quantized=True)


def test_only_sets_that_differ_can_be_left_out():
    alike = Parity(100, 0.1, 0.01, changed=1)
    assert alike.is_close(quantized=True)
    sets = replace(alike, changed_sets=10, distance_difference=0.1)
    assert not sets.is_close(quantized=True)
    assert "--no-calibration" in sets.suggest_no_calibration(quantized=True)
    assert replace(sets, changed=10).suggest_no_calibration(quantized=True) == ""


def test_each_savedmodel_is_the_next_version_in_a_folder_of_any_name(verb, digits, tmp_path):
    folder = tmp_path / "run[1] *?%\n"
    (folder / "digits" / "9").mkdir(parents=True)
    about = export_run(verb, digits.folder, folder, "savedmodel")
    assert about["path"] == str(folder / "digits" / "10")
    assert {path.name for path in (folder / "digits").iterdir()} == {"9", "10"}


MISTAKES = [
    ((), "no run is named"),
    (("RUN",), "no --format is given"),
    (("RUN", "--format", "onnx", "--quantize", "int8"), "--format tflite"),
    (("RUN", "--format", "onnx", "--output", "x.tflite"), "ends in .onnx"),
    (("RUN", "--format", "onnx", "--output", "nowhere/x.onnx"), "nowhere, where --output goes"),
    (("RUN", "--format", "keras", "--output", "RUN/best.keras"), "is there already"),
    (("RUN", "--format", "keras", "epochs=3"), "epochs cannot be set"),
    (("RUN", "--format", "keras", "--weights", "ema"), "has no ema.keras"),
]


@pytest.mark.parametrize(("words", "given"), MISTAKES)
def test_mistakes_are_answered(refusal, digits, words, given):
    words = [word.replace("RUN", str(digits.folder)) for word in words]
    assert given in str(refusal("export", *words))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("onnx", "onnx and tf2onnx and onnxruntime are not installed"),
        ("tflite", "ai_edge_litert is not installed"),
    ],
)
def test_a_missing_package_is_named(refusal, digits, monkeypatch, name, given):
    from cnntrain.inference import export_formats

    monkeypatch.setattr(export_formats, "find_spec", lambda name: None)
    answer = str(refusal("export", digits.folder, "--format", name))
    assert given in answer
    assert "pip install 'cnntrain[export]'" in answer


@pytest.mark.slow
def test_a_terminated_export_leaves_no_file(digits, tmp_path):
    target = tmp_path / "x.onnx"
    words = ["export", str(digits.folder), "--format", "onnx", "--output", str(target)]
    process = subprocess.Popen([sys.executable, "-m", "cnntrain", *words])
    while process.poll() is None and not list(tmp_path.glob(".unfinished_*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("run", ["lenet", "cats", "one_logit"])
def test_an_exported_file_has_the_confusion_of_evaluate(verb, tmp_path, name, run, request):
    check_class_of_every_image(verb, request.getfixturevalue(run), tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("run", ["lenet", "cats"])
def test_eight_bit_weights_of_trained_networks_predict_nearly_the_same(
    verb, tmp_path, run, request
):
    trained = request.getfixturevalue(run)
    about = export_run(verb, trained.folder, tmp_path, "tflite", "--quantize", "int8")
    assert about["changed"] <= 0.05 * about["images"]
    assert about["mean_difference"] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_mixed_precision_becomes_float32(verb, training, tmp_path, name):
    mixed = training("precision=mixed_bfloat16", "epochs=1", "dataset.limit=100", "batch_size=50")
    about = export_run(verb, mixed.folder, tmp_path, name)
    assert about["largest_difference"] < 1e-4


def check_class_of_every_image(verb, run, folder, name):
    """Assert that an exported file gives every image of the test split the network's class."""
    _, out, _ = verb("evaluate", run.folder, "--json")
    evaluation = json.loads(out)
    about = export_run(verb, run.folder, folder, name)
    probabilities, labels = predict_without_cnntrain(name, about["path"], run.images, folder)
    assert labels == [row["name"] for row in evaluation["classes"]]
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (run.labels, probabilities.argmax(axis=1)), 1)
    assert confusion.tolist() == evaluation["confusion"]
    logits = run.network().predict(run.images, verbose=0)
    if logits.shape[1] == 1:
        logits = np.hstack([0 * logits, logits])
    assert (probabilities.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_an_exported_file_contains_the_labels(verb, digits, tmp_path):
    about = export_run(verb, digits.folder, tmp_path, "keras")
    labels = zipfile.ZipFile(about["path"]).read("labels.txt").decode()
    assert labels.split() == [str(n) for n in range(10)]
