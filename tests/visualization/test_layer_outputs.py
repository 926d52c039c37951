"""The layer outputs of networks of every family, and receptive fields against gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cnntrain.analysis.zoo import build_unfilled_network
from cnntrain.spec import option_files
from cnntrain.visualization.layer_outputs import (
    compute_layer_outputs,
    find_first_convolution,
    find_last_feature_maps,
    find_middle_output,
    list_layer_outputs,
    pick_spread_indices,
    select_stages,
)
from cnntrain.visualization.top_patches import locate_receptive_field

FAST = ("lenet5", "resnet20_v1", "mlp_256_128")
SLOW = (
    "alexnet", "cnn_cifar", "cnn_maxout", "cnn_separable", "convnext_tiny", "densenet121",
    "googlenet", "inception_mini", "inception_resnet_v2", "inception_v2", "lenet5_1998",
    "mobilenet", "mobilenet_v2", "nasnet_mobile", "resnet29_v2", "resnet50", "resnet50_v2", "vgg16",
)  # fmt: skip


def wrap_as_saved(model):
    """Return a network as training saves it: raw pixels, the normalisation, the model."""
    main = keras.Model(model.inputs, model.outputs[0], name=model.name)
    images = keras.Input(model.input_shape[1:], dtype="uint8")
    scaled = layers.Rescaling(1 / 255, dtype="float32", name="normalisation")(images)
    return keras.Model(images, main(scaled), name=model.name)


def check_layer_outputs(option):
    """Return the network of an option and its layer outputs, whose shapes and logits are right."""
    network = wrap_as_saved(build_unfilled_network(option))
    image = np.random.default_rng(0).integers(0, 256, (1, *network.input_shape[1:]), np.uint8)
    outputs = list_layer_outputs(network)
    tensors, logits = compute_layer_outputs(network, tf.constant(image, tf.float32))
    np.testing.assert_allclose(logits, network(image, training=False), rtol=1e-4, atol=1e-5)
    assert all(output.shape == tuple(tensors[output.name].shape[1:]) for output in outputs)
    return network, outputs


@pytest.mark.parametrize(
    "option", [*FAST, *(pytest.param(option, marks=pytest.mark.slow) for option in SLOW)]
)
def test_every_family_has_feature_maps_to_show(option):
    network, outputs = check_layer_outputs(option)
    if option.startswith("mlp"):
        assert outputs == []
        return
    shown, last = select_stages(outputs, 8), find_last_feature_maps(outputs)
    assert 2 <= len(shown) <= 8
    sizes = [p.shape[0] for p in shown]
    assert sizes == sorted(sizes, reverse=True)
    assert last.shape[0] * last.shape[1] > 1
    assert not last.is_pool
    assert find_middle_output(outputs, network.input_shape[1:]) in outputs
    first = find_first_convolution(outputs)
    assert first is None or first.operation.kernel.shape[2] in (1, 3)


def test_all_named_options_exist():
    assert {*FAST, *SLOW} <= {*option_files.find_option_files("model")}


def test_the_main_line_of_a_resnet_goes_through_its_sums():
    _, outputs = check_layer_outputs("resnet20_v1")
    assert sum(p.kind == "Add" for p in outputs) == 9
    assert all(p.is_main for p in outputs if p.kind == "Add")
    branches = [p for p in outputs if not p.is_main]
    assert len(branches) > 40  # two convolutions a block, their norms, and shortcuts
    assert find_last_feature_maps(outputs).shape == (8, 8, 64)
    assert [p.shape[0] for p in select_stages(outputs, 8)] == [32, 32, 16, 16, 8, 8]


def test_spread_indices_include_the_last():
    assert pick_spread_indices(10, 2) == [4, 9]
    assert pick_spread_indices(3, 8) == [0, 1, 2]
    assert pick_spread_indices(5, 1) == [4]


def build_positive_network(height, width):
    """Return a network with windows of all kinds, whose positive weights hide no pixel."""
    inputs = keras.Input((height, width, 1))
    kernel = {"kernel_initializer": "ones", "use_bias": False}
    x = layers.Conv2D(2, (5, 3), strides=2, padding="same", name="a", **kernel)(inputs)
    x = layers.ZeroPadding2D(((2, 1), (0, 3)), name="b")(x)
    x = layers.Conv2D(2, 3, strides=2, name="c", **kernel)(x)
    x = layers.AveragePooling2D(2, 1, padding="same", name="d")(x)
    short = layers.Conv2D(2, 1, name="e", **kernel)(x)
    x = layers.Conv2D(2, 3, dilation_rate=2, padding="same", name="f", **kernel)(x)
    x = layers.Add(name="g")([x, short])
    x = layers.GlobalAveragePooling2D()(x)
    return wrap_as_saved(keras.Model(inputs, layers.Dense(2)(x), name="linear"))


@pytest.mark.parametrize("size", [(32, 40), (33, 41), (35, 30)])
def test_a_receptive_field_holds_exactly_the_pixels_with_a_gradient(size):
    network = build_positive_network(*size)
    images = tf.constant(np.ones((1, *size, 1), np.float32))
    checked = 0
    for output in list_layer_outputs(network):
        height, width, _ = output.shape
        for position in {0, width - 1, width * (height // 2) + width // 2, height * width - 1}:
            with tf.GradientTape() as tape:
                tape.watch(images)
                maps = compute_layer_outputs(network, images)[0][output.name]
                value = maps[0, position // width, position % width, 0]
            slope = tape.gradient(value, images, unconnected_gradients="zero")[0, ..., 0]
            rows, columns = np.nonzero(slope.numpy())
            if not len(rows):
                continue  # it sees padding only
            box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            assert locate_receptive_field(output, position, (*size, 1)) == box, (
                output.name,
                position,
            )
            checked += 1
    assert checked > 15
