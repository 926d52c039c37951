import keras
import numpy as np
import pytest
from keras import layers

from cnntrain.visualization.grad_cam import compute_grad_cam


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def network(head, units):
    """Two convolutions behind a normalisation, as training saves a network, and a head."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu", padding="same")(inputs)
    maps = layers.Conv2D(5, 3, strides=2, activation="relu", name="last")(x)
    body = keras.Model(inputs, layers.Dense(units, name="logits")(head(maps)), name="body")
    images = keras.Input((12, 16, 3), dtype="uint8")
    scaled = layers.Rescaling(1 / 255, dtype="float32", name="normalisation")(images)
    return keras.Model(images, body(scaled)), body


def maps_of(body, image):
    last = keras.Model(body.inputs, body.get_layer("last").output)
    return np.asarray(last([image[np.newaxis] / np.float32(255)]))[0]


@pytest.mark.parametrize("target", [0, 1, 2])
def test_with_a_global_pool_it_is_cam(image, target):
    """Zhou et al. 2016, equation 2, but for what is negative and the number of positions."""
    whole, body = network(layers.GlobalAveragePooling2D(), 3)
    maps, weights = maps_of(body, image), np.asarray(body.get_layer("logits").kernel)
    cam = np.maximum(maps @ weights[:, target], 0) / np.prod(maps.shape[:2])
    assert cam.max() > 0
    np.testing.assert_allclose(
        compute_grad_cam(whole, image, "last", target), cam, rtol=1e-4, atol=1e-7
    )


def test_of_one_unit_the_first_class_is_its_negative(image):
    whole, body = network(layers.GlobalAveragePooling2D(), 1)
    cam = maps_of(body, image) @ np.asarray(body.get_layer("logits").kernel)[:, 0] / 35
    for target, sign in ((0, -1), (1, 1)):
        found = compute_grad_cam(whole, image, "last", target)
        np.testing.assert_allclose(found, np.maximum(sign * cam, 0), rtol=1e-4, atol=1e-7)


def test_weights_are_mean_slopes_by_finite_differences(image):
    """A map that is raised everywhere at once raises the score by the sum of its slopes."""
    hidden = layers.Dense(6, activation="tanh")
    whole, body = network(lambda maps: hidden(layers.Flatten()(maps)), 3)
    maps, step = maps_of(body, image).astype(np.float64), 1e-3
    tail = [np.asarray(v, np.float64) for v in body.weights[-4:]]

    def score(values):
        return np.tanh(values.ravel() @ tail[0] + tail[1]) @ tail[2][:, 2] + tail[3][2]

    weights = [
        (score(maps + step * channel) - score(maps - step * channel)) / (2 * step * 35)
        for channel in np.eye(5)
    ]
    expected = np.maximum(maps @ weights, 0)
    np.testing.assert_allclose(
        compute_grad_cam(whole, image, "last", 2), expected, rtol=1e-3, atol=1e-6
    )


def test_a_frozen_network_has_slopes_too(image):
    whole, _ = network(layers.GlobalAveragePooling2D(), 3)
    free = compute_grad_cam(whole, image, "last", 1)
    whole.trainable = False
    np.testing.assert_array_equal(compute_grad_cam(whole, image, "last", 1), free)
