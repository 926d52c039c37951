"""The formats that a network is exported to: how each is written, and run in its own runtime.

All take raw images (B, H, W, C) uint8, `images`, and give `probabilities` (B, classes) float32.
All contain the names of the classes, one a line or as JSON. Where an image may have several labels
they contain the threshold of each class, too, in the same way.
"""

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.errors import SpecError

LABELS_FILE, THRESHOLDS_FILE = "labels.txt", "thresholds.txt"
# A function from images (B, H, W, C) uint8 to probabilities (B, classes).
Predictor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Labels:
    """What the outputs of a network mean: the names of the classes, in their order.

    `thresholds` are the probabilities from which on a class is in an image; None where each image
    has one class.
    """

    class_names: Sequence[str]
    thresholds: Sequence[float] | None = None

    def list_files(self) -> dict[str, str]:
        """Return the text files of the labels by name: a name, or a threshold, a line."""
        files = {LABELS_FILE: "".join(f"{name}\n" for name in self.class_names)}
        if self.thresholds is not None:
            files[THRESHOLDS_FILE] = "".join(f"{value}\n" for value in self.thresholds)
        return files

    def list_properties(self) -> dict[str, str]:
        """Return the same as JSON lists, by name."""
        properties = {"class_names": json.dumps(list(self.class_names))}
        if self.thresholds is not None:
            properties["thresholds"] = json.dumps(list(self.thresholds))
        return properties


@dataclass(frozen=True)
class ExportFormat:
    """How a format is written to a path, how it is run from there, and which packages both need.

    A network for a format that is `only_float32` is converted to float32 first. `write` takes a
    network with named outputs, its labels, the path, and the images to calibrate with, or None
    if the weights are not quantised.
    """

    suffix: str
    runtime: str
    needs: Sequence[str]
    only_float32: bool
    write: Callable[[Any, Labels, Path, np.ndarray | None], None]
    run: Callable[[Path], Predictor]


def check_installed(name: str) -> None:
    """Raise SpecError if a package that the format `name` needs is not installed."""
    if missing := [package for package in FORMATS[name].needs if find_spec(package) is None]:
        raise SpecError(
            f"{' and '.join(missing)} is not installed, which --format {name} needs",
            "the packages of the extra `export`",
            "pip install 'cnntrain[export]'",
        )


def write_keras(network: Any, labels: Labels, path: Path, calibration: np.ndarray | None) -> None:
    """Write a `.keras` file with labels.txt added to its zip."""
    import keras

    # The output loses its name, so that `predict` returns an array and not a dict.
    keras.Model(network.input, network.output["probabilities"], name=network.name).save(path)
    add_labels(path, labels)


def run_keras(path: Path) -> Predictor:
    """Return a predictor that runs a `.keras` file in Keras."""
    import keras

    network = keras.models.load_model(path, compile=False)
    return lambda images: network.predict_on_batch(images)


def write_savedmodel(
    network: Any, labels: Labels, path: Path, calibration: np.ndarray | None
) -> None:
    """Write a SavedModel folder, with labels.txt in its folder for users' files, assets.extra."""
    network.export(path, format="tf_saved_model", verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in labels.list_files().items():
        (extra / name).write_text(text, encoding="utf-8")


def run_savedmodel(path: Path) -> Predictor:
    """Return a predictor that runs a SavedModel folder in TensorFlow."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    serve.loaded = loaded  # keeps the variables alive, which belong to `loaded`
    return lambda images: serve(images=tf.constant(images))["probabilities"].numpy()


def write_onnx(network: Any, labels: Labels, path: Path, calibration: np.ndarray | None) -> None:
    """Write an ONNX file by tf2onnx, with the labels as a JSON list in its metadata."""
    import onnx

    network.export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, labels.list_properties())
    onnx.save(model, path)


def run_onnx(path: Path) -> Predictor:
    """Return a predictor that runs an ONNX file in ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def write_tflite(network: Any, labels: Labels, path: Path, calibration: np.ndarray | None) -> None:
    """Write a TensorFlow Lite file.

    If there are `calibration` images (N, H, W, C) uint8, its weights and activations are 8-bit. The
    labels are in a zip appended to the file, as associated files are in this format.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
    path.write_bytes(converter.convert())
    add_labels(path, labels)


def run_tflite(path: Path) -> Predictor:
    """Return a predictor that runs a TensorFlow Lite file in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (images_tensor,) = interpreter.get_input_details()
    (probabilities_tensor,) = interpreter.get_output_details()

    def predict(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(images_tensor["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(images_tensor["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(probabilities_tensor["index"])

    return predict


def add_labels(path: Path, labels: Labels) -> None:
    """Add the files of the labels to a zip, or append a zip with them to any other file."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in labels.list_files().items():
            archive.writestr(name, text)


FORMATS = {
    "savedmodel": ExportFormat("", "tensorflow", (), False, write_savedmodel, run_savedmodel),
    "onnx": ExportFormat(
        ".onnx", "onnxruntime", ("onnx", "tf2onnx", "onnxruntime"), True, write_onnx, run_onnx
    ),
    "tflite": ExportFormat(
        ".tflite", "ai-edge-litert", ("ai_edge_litert",), True, write_tflite, run_tflite
    ),
    "keras": ExportFormat(".keras", "keras", (), False, write_keras, run_keras),
}
