"""Evaluation sees every example once, in order, and its numbers are those of Keras' `predict`."""

import gc
import weakref

import keras
import numpy as np
import pytest

from cnntrain.data.source import Examples
from cnntrain.training import evaluation
from cnntrain.training.evaluation import predict_outputs

IMAGES = np.random.default_rng(0).integers(0, 256, (103, 4, 5, 3), np.uint8)


def build_flattening():
    inputs = keras.Input((4, 5, 3), dtype="uint8")
    return keras.Model(inputs, keras.layers.Flatten()(keras.layers.Rescaling(1.0)(inputs)))


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("batch_size", [1, 5, 51, 103, 200])
def test_every_example_is_seen_exactly_once_in_order(monkeypatch, batch_size, pads):
    monkeypatch.setattr(evaluation, "is_compiled_by_xla", lambda: pads)
    rows = np.arange(102, -1, -2)
    examples = Examples(IMAGES, np.zeros(len(rows), np.int32), rows)
    outputs = predict_outputs(build_flattening(), examples, batch_size)
    assert np.array_equal(outputs, IMAGES[rows].reshape(len(rows), -1))


def test_outputs_are_those_of_predict_and_follow_the_weights(spec):
    network = spec("model=cnn_cifar").model((32, 32, 3), 10)
    images = np.random.default_rng(1).random((40, 32, 32, 3), np.float32)
    examples = Examples(images, np.zeros(40, np.int32))
    for _ in range(2):
        expected = network.predict(images, batch_size=16, verbose=0)
        assert np.allclose(predict_outputs(network, examples, 8), expected, atol=1e-6)
        network.set_weights([2 * weight for weight in network.get_weights()])


def test_compiled_prediction_does_not_keep_a_network_in_memory():
    network = build_flattening()
    predict_outputs(network, Examples(IMAGES, np.zeros(103, np.int32)), 8)
    seen = weakref.ref(network)
    del network
    keras.utils.clear_session()
    gc.collect()
    assert seen() is None
