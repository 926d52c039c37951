"""The formats that a network is exported to: how each is written, and run where it will be used.

All take raw images (B, H, W, C) uint8, `images`, and give `probabilities` (B, classes) float32.
The names of the classes are inside, one a line or as JSON.
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

LABELS_FILE = "labels.txt"
Predictor = Callable[
    [np.ndarray], np.ndarray
]  # images (B, H, W, C) uint8 to probabilities (B, classes)


@dataclass(frozen=True)
class ExportFormat:
    """How a format is written to a path, how it is run from there, and what both need.

    One that is `only_float32` computes so whatever precision the run had. `write` gets a network
    whose outputs are named, the class names, the path, and images to calibrate with where it is to
    be quantised.
    """

    suffix: str
    runtime: str
    needs: Sequence[str]
    only_float32: bool
    write: Callable[[Any, Sequence[str], Path, np.ndarray | None], None]
    run: Callable[[Path], Predictor]


def check_installed(name: str) -> None:
    """Refuse a format whose packages are not here."""
    if missing := [package for package in FORMATS[name].needs if find_spec(package) is None]:
        raise SpecError(
            f"{' and '.join(missing)} is not installed, which --format {name} needs",
            "the packages of the extra `export`",
            "pip install 'cnntrain[export]'",
        )


def write_keras(
    network: Any, class_names: Sequence[str], path: Path, calibration: np.ndarray | None
) -> None:
    """Keras 3's own: a zip, with the labels added; its one output has no name."""
    import keras

    keras.Model(network.input, network.output["probabilities"], name=network.name).save(path)
    add_labels(path, class_names)


def run_keras(path: Path) -> Predictor:
    import keras

    network = keras.models.load_model(path, compile=False)
    return lambda images: network.predict_on_batch(images)


def write_savedmodel(
    network: Any, class_names: Sequence[str], path: Path, calibration: np.ndarray | None
) -> None:
    """TensorFlow's: a folder, with the labels where TensorFlow keeps what users add."""
    network.export(path, format="tf_saved_model", verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / LABELS_FILE).write_text(format_labels(class_names), encoding="utf-8")


def run_savedmodel(path: Path) -> Predictor:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    serve.loaded = loaded  # which its variables belong to
    return lambda images: serve(images=tf.constant(images))["probabilities"].numpy()


def write_onnx(
    network: Any, class_names: Sequence[str], path: Path, calibration: np.ndarray | None
) -> None:
    """ONNX by tf2onnx, with the labels as a JSON list in the metadata."""
    import onnx

    network.export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"class_names": json.dumps(list(class_names))})
    onnx.save(model, path)


def run_onnx(path: Path) -> Predictor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def write_tflite(
    network: Any, class_names: Sequence[str], path: Path, calibration: np.ndarray | None
) -> None:
    """TensorFlow Lite, with 8-bit weights and activations where images to calibrate with are given.

    The labels are a zip behind it, where that format has its associated files.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
    path.write_bytes(converter.convert())
    add_labels(path, class_names)


def run_tflite(path: Path) -> Predictor:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(taken["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return run


def add_labels(path: Path, class_names: Sequence[str]) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS_FILE, format_labels(class_names))


def format_labels(class_names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in class_names)


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
