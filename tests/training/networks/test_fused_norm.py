"""A fused batch norm computes what Keras' layer does, and leaves no trace in the network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnntrain.training.networks.fused_norm import choose_norm_call
from cnntrain.training.networks.replaced_calls import replace_calls

IMAGES = np.random.default_rng(0).normal(1, 3, (16, 5, 6, 3)).astype("float32")


def make_network(scale=True, trainable=True):
    inputs = x = keras.Input((5, 6, 3))
    x = keras.layers.BatchNormalization(momentum=0.7, scale=scale, name="maps")(x)
    x = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    network = keras.Model(inputs, keras.layers.BatchNormalization(name="vectors")(x))
    layer = network.get_layer("maps")
    layer.set_weights([np.full(w.shape, 0.5 + n) for n, w in enumerate(layer.get_weights())])
    layer.trainable = trainable
    return network


def train_once(network):
    """Return the outputs and gradients in training, and all variables after it."""
    with tf.GradientTape() as tape:
        outputs = network(IMAGES, training=True)
        loss = tf.reduce_sum(outputs * np.arange(32).reshape(16, 2))
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    return [outputs, *gradients, *(v.numpy() for v in network.variables)]


@pytest.mark.parametrize(("scale", "trainable"), [(True, True), (False, True), (True, False)])
def test_outputs_gradients_and_statistics_are_those_of_keras(scale, trainable):
    keras.utils.set_random_seed(1)
    network = make_network(scale, trainable)
    weights = network.get_weights()
    expected = train_once(network)
    network.set_weights(weights)
    with replace_calls(network, choose_norm_call):
        found = train_once(network)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=2e-4)


def test_only_norms_of_feature_maps_are_fused_and_only_within_the_block(tmp_path):
    network = make_network()
    with replace_calls(network, choose_norm_call):
        assert "call" in vars(network.get_layer("maps"))
        assert "call" not in vars(network.get_layer("vectors"))
    assert "call" not in vars(network.get_layer("maps"))
    network.save(tmp_path / "n.keras")
    loaded = keras.models.load_model(tmp_path / "n.keras")
    np.testing.assert_array_equal(loaded(IMAGES), network(IMAGES))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_run_learns_alike_with_it(train, precision):
    words = ("model=speed_net", "model.filters=[8,16]", "dataset.limit=200", "batch_size=50",
             "epochs=2", f"precision={precision}")  # fmt: skip
    _, plain = train(*words, name="plain")
    _, fused = train(*words, "fused_norm=true", name="fused")
    loss = "loss"
    assert fused["test"]["final"][loss] == pytest.approx(plain["test"]["final"][loss], rel=0.05)
    assert fused["test"]["final"][loss] != plain["test"]["final"][loss]
