"""Evaluate a network on every example of a split; probabilities and metrics are float64."""

import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnntrain.data import pipeline
from cnntrain.data.source import Examples
from cnntrain.data.views import average_outputs, make_views
from cnntrain.training.devices.one_device import is_compiled_by_xla
from cnntrain.training.labels.kind import get_label_kind


def evaluate_network(
    network: keras.Model, examples: Examples, batch_size: int, xla: bool = True, views: str = "none"
) -> dict[str, float]:
    """Return the metrics of a network for `examples`; without `xla` XLA compiles nothing.

    They are the `metrics` of the kind of labels that the examples have.
    """
    scores = predict_scores(network, examples, batch_size, xla, views)
    return get_label_kind(examples.labels).compute_metrics(scores, examples.labels)


def predict_scores(
    network: keras.Model, examples: Examples, batch_size: int, xla: bool = True, views: str = "none"
) -> np.ndarray:
    """Return what a network says of `examples`, (N, classes) float64.

    It is the logarithm of each class's probability, or its log-odds where images may have several
    labels.
    """
    outputs = predict_outputs(network, examples, batch_size, xla, views)
    return get_label_kind(examples.labels).compute_scores(outputs)


def predict_outputs(
    network: keras.Model, examples: Examples, batch_size: int, xla: bool = True, views: str = "none"
) -> np.ndarray:
    """Return the outputs of a network for `examples`, in their order, averaged over `views`.

    They are computed in batches of twice `batch_size`: nothing is kept for gradients.
    """
    count = len(examples)
    size = min(2 * batch_size, count)
    if network not in COMPILED:
        COMPILED[network] = compile_prediction(network, xla)
    predict = COMPILED[network]

    def gather(first: int, count: int) -> list[np.ndarray]:
        return list(make_views(examples.gather_images(np.arange(first, first + count)), views))

    spans = ((first, min(size, count - first)) for first in range(0, count, size))
    blocks = pipeline.stream_blocks(gather, spans)
    outputs = [[predict(images, size) for images in block] for block in blocks]
    return np.concatenate([average_outputs(list(map(np.asarray, o)), views) for o in outputs])


# The compiled predictions of networks, by network, for as long as these are in use.
COMPILED: weakref.WeakKeyDictionary[keras.Model, Callable[[np.ndarray, int], Any]] = (
    weakref.WeakKeyDictionary()
)


def compile_prediction(network: keras.Model, xla: bool) -> Callable[[np.ndarray, int], Any]:
    """Return a function from images (b, H, W, C), and the B of most batches, to outputs.

    XLA compiles anew for each B: what it compiles gets smaller batches with their last image
    repeated, and gives an output for each image all the same.
    """
    own = weakref.ref(network)  # else the function would keep the network in memory

    def call(images: Any) -> Any:
        model = own()
        assert model is not None
        return model(images, training=False)

    if keras.backend.backend() == "jax":
        from cnntrain.training.devices.jax_arrays import compile_for_jax

        predict, pads = compile_for_jax(own, call), True
    else:
        pads = xla and is_compiled_by_xla()
        shape, dtype = network.inputs[0].shape, network.inputs[0].dtype
        signature = [tf.TensorSpec(shape, dtype)]
        predict = tf.function(call, signature, autograph=False, jit_compile=pads or None)

    def predict_batch(images: np.ndarray, size: int) -> Any:
        count = len(images)
        missing = size - count if pads else 0
        if missing > 0:
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        return predict(images)[:count]

    return predict_batch
