"""Grad-CAM against the formula of CAM, and against gradients by finite differences."""

import keras
import numpy as np
import pytest
from keras import layers

from cnntrain.visualization.grad_cam import compute_grad_cam


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def build_network(head, units):
    """Return a network as training saves it, and the model in it: two convolutions and a head."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu", padding="same")(inputs)
    maps = layers.Conv2D(5, 3, strides=2, activation="relu", name="last")(x)
    model = keras.Model(inputs, layers.Dense(units, name="logits")(head(maps)), name="model")
    images = keras.Input((12, 16, 3), dtype="uint8")
    scaled = layers.Rescaling(1 / 255, dtype="float32", name="normalisation")(images)
    return keras.Model(images, model(scaled)), model


def compute_maps(model, image):
    """Return the feature maps (h, w, channels) of the last convolution for an image (H, W, C)."""
    last = keras.Model(model.inputs, model.get_layer("last").output)
    return np.asarray(last([image[np.newaxis] / np.float32(255)]))[0]


@pytest.mark.parametrize("target", [0, 1, 2])
def test_grad_cam_before_a_global_pool_is_cam(image, target):
    """CAM is equation 2 of Zhou et al. 2016; Grad-CAM divides it by the number of positions."""
    network, model = build_network(layers.GlobalAveragePooling2D(), 3)
    maps, weights = compute_maps(model, image), np.asarray(model.get_layer("logits").kernel)
    cam = np.maximum(maps @ weights[:, target], 0) / np.prod(maps.shape[:2])
    assert cam.max() > 0
    np.testing.assert_allclose(
        compute_grad_cam(network, image, "last", target), cam, rtol=1e-4, atol=1e-7
    )


def test_the_score_of_the_first_class_is_the_negative_of_a_single_unit(image):
    network, model = build_network(layers.GlobalAveragePooling2D(), 1)
    cam = compute_maps(model, image) @ np.asarray(model.get_layer("logits").kernel)[:, 0] / 35
    for target, sign in ((0, -1), (1, 1)):
        found = compute_grad_cam(network, image, "last", target)
        np.testing.assert_allclose(found, np.maximum(sign * cam, 0), rtol=1e-4, atol=1e-7)


def test_weights_are_mean_gradients_by_finite_differences(image):
    """Raising a whole map by a step raises the score by the step times the sum of gradients."""
    hidden = layers.Dense(6, activation="tanh")
    network, model = build_network(lambda maps: hidden(layers.Flatten()(maps)), 3)
    maps, step = compute_maps(model, image).astype(np.float64), 1e-3
    tail = [np.asarray(v, np.float64) for v in model.weights[-4:]]

    def score(values):
        return np.tanh(values.ravel() @ tail[0] + tail[1]) @ tail[2][:, 2] + tail[3][2]

    weights = [
        (score(maps + step * channel) - score(maps - step * channel)) / (2 * step * 35)
        for channel in np.eye(5)
    ]
    expected = np.maximum(maps @ weights, 0)
    np.testing.assert_allclose(
        compute_grad_cam(network, image, "last", 2), expected, rtol=1e-3, atol=1e-6
    )


def test_a_frozen_network_has_the_same_grad_cam(image):
    network, _ = build_network(layers.GlobalAveragePooling2D(), 3)
    free = compute_grad_cam(network, image, "last", 1)
    network.trainable = False
    np.testing.assert_array_equal(compute_grad_cam(network, image, "last", 1), free)
