"""The gradient of a max pool by masks is TensorFlow's own, and needs no scatter of XLA."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cnntrain.training import losses
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.networks.pool_gradient import choose_pool_call, pool_by_masks
from cnntrain.training.train_step import StepParts, TrainStep

POOLS = [  # sizes of images and windows, strides, padding
    ((8, 6), 2, 2, "valid"), ((9, 7), 2, 2, "valid"), ((9, 7), 2, 2, "same"),
    ((9, 8), 3, 2, "valid"), ((9, 8), 3, 2, "same"), ((6, 6), 3, 1, "same"), ((5, 7), 1, 2, "same"),
    ((8, 9), (2, 3), (1, 2), "same"), ((7, 8), (1, 3), (4, 3), "valid"), ((6, 6), 6, 6, "valid"),
]  # fmt: skip


def compare_gradients(size, window, strides, padding, dtype="float32"):
    """Return (ours, TensorFlow's): outputs and gradients of images with many equal values."""
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(-3, 3, (4, *size, 5)), dtype)
    layer = layers.MaxPooling2D(window, strides, padding, dtype=dtype)
    weights = tf.constant(random.integers(-4, 5, layer(images).shape), dtype)

    def differentiate(call):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = call(images)
            total = tf.reduce_sum(outputs * weights)
        return outputs.numpy(), tape.gradient(total, images).numpy()

    return differentiate(lambda x: pool_by_masks(layer, x)), differentiate(layer)


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_outputs_and_gradients_are_those_of_tensorflow(pool):
    ours, theirs = compare_gradients(*pool)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own, other)
    assert np.count_nonzero(ours[1])


def test_it_computes_in_the_precision_of_the_layer():
    ours, theirs = compare_gradients((9, 8), 3, 2, "same", "bfloat16")
    assert ours[1].dtype == theirs[1].dtype
    np.testing.assert_array_equal(ours[1], theirs[1])  # sums of small whole numbers are exact


ON_JAX = """
import jax, numpy as np
from keras import layers
from cnntrain.training.networks.pool_gradient import pool_by_masks
layer = layers.MaxPooling2D(3, 2, padding="same")
images = np.random.default_rng(0).integers(-3, 3, (4, 9, 8, 5)).astype("float32")
found = [jax.jit(jax.grad(lambda x, call=call: (call(x) * np.arange(5)).sum()))(images)
         for call in (layer, lambda x: pool_by_masks(layer, x))]
assert np.array_equal(*found) and np.count_nonzero(found[0])
"""


@pytest.mark.slow
def test_on_jax_it_has_the_gradient_of_the_layer():
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", ON_JAX], env=environment, check=True)


def test_only_max_pools_are_replaced():
    assert choose_pool_call(layers.MaxPooling2D()) is pool_by_masks
    assert choose_pool_call(layers.MaxPooling2D(data_format="channels_first")) is None
    assert choose_pool_call(layers.AveragePooling2D(2)) is None


def test_step_has_pools_whose_gradient_is_no_scatter():
    step = make_step()
    batch = {"images": np.zeros((2, 9, 9, 1), "float32"), "labels": np.zeros(2, "int32")}
    placed = {name: tf.constant(array) for name, array in batch.items()}
    program = step.step.experimental_get_compiler_ir(placed)(stage="hlo")
    assert "reduce-window(" in program  # they pool
    assert "select-and-scatter(" not in program


def make_step():
    inputs = x = keras.Input((9, 9, 1))
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.Conv2D(2, 3)(x))
    network = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.MaxPooling2D()(x))))
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(network.trainable_variables)
    parts = StepParts(
        network=network, optimizer=optimizer, rate=lambda step: step,
        loss=losses.compute_cross_entropy, make_inputs=lambda batch: batch["images"],
        masked_pools=True,
    )  # fmt: skip
    return TrainStep(parts, Devices(xla=True))
