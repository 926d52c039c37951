"""The formats that a network is exported to: how each is written, and run in its own runtime.

All take raw images (B, H, W, C) uint8, `images`, and give `probabilities` (B, classes) float32.
All contain the names of the classes, one a line or as JSON. Where an image may have several labels
they contain the threshold of each class, too, in the same way. A calibrated network also gives the
`unfamiliarity` (B,) float32 of each image, and contains how sets of labels follow, as JSON.
"""

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.errors import SpecError
from cnntrain.inference.parity import CHECKED_IMAGES

PROBABILITIES, UNFAMILIARITY = "probabilities", "unfamiliarity"  # names of outputs
LABELS_FILE, THRESHOLDS_FILE = "labels.txt", "thresholds.txt"
CALIBRATION_FILE = "calibration.json"
# A function from images (B, H, W, C) uint8 to an output, such as the probabilities (B, classes).
Predictor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Labels:
    """What the outputs of a network mean: the names of the classes, in their order.

    `thresholds` are the probabilities from which on a class is in an image; None where each image
    has one class. `set_rule` is how a set of labels follows from the outputs of a calibrated
    network; None of another one.
    """

    class_names: Sequence[str]
    thresholds: Sequence[float] | None = None
    set_rule: Mapping[str, Any] | None = None

    def list_files(self) -> dict[str, str]:
        """Return the text files of the labels by name: a name, or a threshold, a line, or JSON."""
        files = {LABELS_FILE: "".join(f"{name}\n" for name in self.class_names)}
        if self.thresholds is not None:
            files[THRESHOLDS_FILE] = "".join(f"{value}\n" for value in self.thresholds)
        if self.set_rule is not None:
            files[CALIBRATION_FILE] = json.dumps(self.set_rule, indent=2)
        return files

    def list_properties(self) -> dict[str, str]:
        """Return the same as JSON, by name."""
        properties = {"class_names": json.dumps(list(self.class_names))}
        if self.thresholds is not None:
            properties["thresholds"] = json.dumps(list(self.thresholds))
        if self.set_rule is not None:
            properties["calibration"] = json.dumps(self.set_rule)
        return properties


@dataclass(frozen=True)
class ExportFormat:
    """How a format is written to a path, how it is run from there, and which packages both need.

    A network for a format that is `only_float32` is converted to float32 first. `write` takes a
    network with named outputs, its labels, the path, and training images: those to quantise with,
    any if the format `wants_training_images`, else None. `run` takes the path and the name of the
    output. A file is run on `checked_images` images before it is kept.
    """

    suffix: str
    runtime: str
    needs: Sequence[str]
    only_float32: bool
    write: Callable[..., None]
    run: Callable[..., Predictor]
    wants_training_images: bool = False
    checked_images: int = CHECKED_IMAGES


def check_installed(name: str, format: ExportFormat) -> None:
    """Raise SpecError if a package that a format, called `name`, needs is not installed."""
    if missing := [package for package in format.needs if find_spec(package) is None]:
        raise SpecError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed, which "
            f"--format {name} needs",
            "the packages of the extra `export`",
            "pip install 'cnntrain[export]'",
        )


def write_keras(network: Any, labels: Labels, path: Path, shown: np.ndarray | None) -> None:
    """Write a `.keras` file with labels.txt added to its zip."""
    import keras

    outputs = network.output
    if labels.set_rule is None:  # the output loses its name: `predict` returns an array, no dict
        outputs = outputs[PROBABILITIES]
    keras.Model(network.input, outputs, name=network.name).save(path)
    add_labels(path, labels)


def run_keras(path: Path, output: str = PROBABILITIES) -> Predictor:
    """Return a predictor that runs a `.keras` file in Keras."""
    import keras

    network = keras.models.load_model(path, compile=False)

    def predict(images: np.ndarray) -> np.ndarray:
        outputs = network.predict_on_batch(images)
        return outputs[output] if isinstance(outputs, dict) else outputs

    return predict


def write_savedmodel(network: Any, labels: Labels, path: Path, shown: np.ndarray | None) -> None:
    """Write a SavedModel folder, with labels.txt in its folder for users' files, assets.extra."""
    network.export(path, format="tf_saved_model", verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in labels.list_files().items():
        (extra / name).write_text(text, encoding="utf-8")


def run_savedmodel(path: Path, output: str = PROBABILITIES) -> Predictor:
    """Return a predictor that runs a SavedModel folder in TensorFlow."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    serve.loaded = loaded  # keeps the variables alive, which belong to `loaded`
    return lambda images: serve(images=tf.constant(images))[output].numpy()


def write_onnx(network: Any, labels: Labels, path: Path, shown: np.ndarray | None) -> None:
    """Write an ONNX file by tf2onnx, with the labels as a JSON list in its metadata."""
    import onnx

    network.export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, labels.list_properties())
    onnx.save(model, path)


def run_onnx(path: Path, output: str = PROBABILITIES) -> Predictor:
    """Return a predictor that runs an ONNX file in ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run([output], {"images": images})[0]


def write_tflite(network: Any, labels: Labels, path: Path, shown: np.ndarray | None) -> None:
    """Write a TensorFlow Lite file.

    If there are `shown` images (N, H, W, C) uint8, its weights and activations are 8-bit. The
    labels are in a zip appended to the file, as associated files are in this format.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if shown is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in shown)
    path.write_bytes(converter.convert())
    add_labels(path, labels)


def run_tflite(path: Path, output: str = PROBABILITIES) -> Predictor:
    """Return a predictor that runs a TensorFlow Lite file in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return lambda images: runner(images=images)[output]


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
