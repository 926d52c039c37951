"""Ways to run a trained network on a whole split: ours, `predict`, and onnxruntime."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from cnntrain.benchmarks.turns import Announce, Comparison, list_batches, repeat_rounds
from cnntrain.data.source import Splits
from cnntrain.inference.convert import add_probabilities, convert_to_float32, silence_converters
from cnntrain.inference.export_formats import FORMATS, Labels
from cnntrain.spec.spec import Spec
from cnntrain.training.evaluation import evaluate_network
from cnntrain.training.networks.build import build_network


def compare_inference(
    model: str, spec: Spec, splits: Splits, names: tuple[str, ...], rounds: int, announce: Announce
) -> Comparison:
    """Run a network on the training images in each of the named ways, in turn; return timings."""
    network = build_network(spec, splits, 1).network
    examples, images = splits.train, splits.train.images
    ways: dict[str, Callable[[], object]] = {
        "evaluate": lambda: evaluate_network(network, examples, spec.batch_size),
        "predict": lambda: network.predict(images, batch_size=spec.batch_size, verbose=0),
    }
    if "onnxruntime" in names:
        run_batch = export_to_onnx(network, splits)
        ways["onnxruntime"] = lambda: [
            run_batch(images[part]) for part in list_batches(len(images), spec.batch_size)
        ]
    chosen = {name: ways[name] for name in names if name in ways}
    timings = repeat_rounds(chosen, rounds, announce)
    conditions = f"batches of {spec.batch_size}"
    return Comparison(f"{model}, inference", conditions, "evaluate", len(images), timings)


def export_to_onnx(network: keras.Model, splits: Splits) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from uint8 images to probabilities, which onnxruntime computes."""
    exported = add_probabilities(convert_to_float32(network))
    exported(splits.test.gather_images(np.arange(1)))  # Keras exports only what was called
    with tempfile.TemporaryDirectory() as folder, silence_converters():
        file = Path(folder) / "network.onnx"
        FORMATS["onnx"].write(exported, Labels(splits.class_names), file, None)
        return FORMATS["onnx"].run(file)
