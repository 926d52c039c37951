"""The places of networks of every family, and what their positions see, against gradients."""

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


def saved_like(body):
    """A network as training saves it: raw pixels, the normalisation, what was built."""
    main = keras.Model(body.inputs, body.outputs[0], name=body.name)
    images = keras.Input(body.input_shape[1:], dtype="uint8")
    scaled = layers.Rescaling(1 / 255, dtype="float32", name="normalisation")(images)
    return keras.Model(images, main(scaled), name=body.name)


def check(option):
    network = saved_like(build_unfilled_network(option))
    image = np.random.default_rng(0).integers(0, 256, (1, *network.input_shape[1:]), np.uint8)
    found = list_layer_outputs(network)
    seen, logits = compute_layer_outputs(network, tf.constant(image, tf.float32))
    np.testing.assert_allclose(logits, network(image, training=False), rtol=1e-4, atol=1e-5)
    assert all(place.shape == tuple(seen[place.name].shape[1:]) for place in found)
    return network, found


@pytest.mark.parametrize(
    "option", [*FAST, *(pytest.param(option, marks=pytest.mark.slow) for option in SLOW)]
)
def test_every_family_has_maps_to_look_at(option):
    network, found = check(option)
    if option.startswith("mlp"):
        assert found == []
        return
    shown, last = select_stages(found, 8), find_last_feature_maps(found)
    assert 2 <= len(shown) <= 8
    sizes = [p.shape[0] for p in shown]
    assert sizes == sorted(sizes, reverse=True)
    assert last.shape[0] * last.shape[1] > 1
    assert not last.is_pool
    assert find_middle_output(found, network.input_shape[1:]) in found
    first = find_first_convolution(found)
    assert first is None or first.operation.kernel.shape[2] in (1, 3)


def test_all_named_options_exist():
    assert {*FAST, *SLOW} <= {*option_files.find_option_files("model")}


def test_the_main_line_is_what_everything_passes():
    _, found = check("resnet20_v1")
    assert sum(p.kind == "Add" for p in found) == 9
    assert all(p.is_main for p in found if p.kind == "Add")
    within = [p for p in found if not p.is_main]
    assert len(within) > 40  # two convolutions a block, their norms, and shortcuts
    assert find_last_feature_maps(found).shape == (8, 8, 64)
    assert [p.shape[0] for p in select_stages(found, 8)] == [32, 32, 16, 16, 8, 8]


def test_numbers_are_spread_with_the_last():
    assert pick_spread_indices(10, 2) == [4, 9]
    assert pick_spread_indices(3, 8) == [0, 1, 2]
    assert pick_spread_indices(5, 1) == [4]


def linear(height, width):
    """Windows of all kinds, all weights positive, nothing that could hide a pixel."""
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
    return saved_like(keras.Model(inputs, layers.Dense(2)(x), name="linear"))


@pytest.mark.parametrize("size", [(32, 40), (33, 41), (35, 30)])
def test_a_position_sees_exactly_the_pixels_that_move_it(size):
    network = linear(*size)
    images = tf.constant(np.ones((1, *size, 1), np.float32))
    checked = 0
    for place in list_layer_outputs(network):
        height, width, _ = place.shape
        for position in {0, width - 1, width * (height // 2) + width // 2, height * width - 1}:
            with tf.GradientTape() as tape:
                tape.watch(images)
                maps = compute_layer_outputs(network, images)[0][place.name]
                value = maps[0, position // width, position % width, 0]
            slope = tape.gradient(value, images, unconnected_gradients="zero")[0, ..., 0]
            rows, columns = np.nonzero(slope.numpy())
            if not len(rows):
                continue  # it sees padding only
            box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            assert locate_receptive_field(place, position, (*size, 1)) == box, (
                place.name,
                position,
            )
            checked += 1
    assert checked > 15
