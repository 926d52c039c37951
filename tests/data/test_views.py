"""The mean logits of an image and of its views, against numpy written out by hand."""

import typing

import keras
import numpy as np
import pytest

from cnntrain.data.source import Examples
from cnntrain.data.views import VIEWS, describe_views, make_views
from cnntrain.spec.spec import SETTINGS
from cnntrain.training.evaluation import evaluate_network, predict_outputs

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 5, 3), np.uint8)
EXAMPLES = Examples(IMAGES, np.arange(23, dtype=np.int32) % 2)


def build_dense(units):
    """A network that is one fixed linear map of the pixels."""
    inputs = keras.Input((4, 5, 3), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    network = keras.Model(inputs, keras.layers.Dense(units)(flat))
    weights = np.random.default_rng(1).normal(size=(60, units)).astype(np.float32)
    network.set_weights([weights, np.zeros(units, np.float32)])
    return network, lambda images: (images.reshape(len(images), -1) / 255) @ weights


@pytest.mark.parametrize("units", [1, 2])
def test_logits_are_averaged_over_the_views(units):
    network, run = build_dense(units)

    def mirrored(images):
        return 0.5 * run(images) + 0.5 * run(images[:, :, ::-1])

    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    down_right, up_left = padded[:, 0:4, 0:5], padded[:, 2:6, 2:7]
    shifted = 0.5 * mirrored(IMAGES) + 0.25 * mirrored(up_left) + 0.25 * mirrored(down_right)
    for views, logits in (
        ("none", run(IMAGES)), ("mirrored", mirrored(IMAGES)), ("mirrored_shifted", shifted),
    ):  # fmt: skip
        outputs = predict_outputs(network, EXAMPLES, 4, views=views)
        assert np.allclose(outputs, logits, atol=1e-5)
        both = np.hstack([0 * logits, logits]) if units == 1 else logits
        own = np.take_along_axis(both, EXAMPLES.labels[:, None], axis=1)[:, 0]
        metrics = evaluate_network(network, EXAMPLES, 4, views=views)
        assert metrics["loss"] == pytest.approx(
            np.mean(np.log(np.exp(both).sum(axis=1)) - own), rel=1e-5
        )
        assert metrics["accuracy"] == np.mean(both.argmax(axis=1) == EXAMPLES.labels)


def test_the_mean_of_an_image_is_that_of_its_mirror_image():
    inputs = keras.Input((4, 5, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1.0)(inputs))
    network = keras.Model(inputs, pooled)
    plain = predict_outputs(network, EXAMPLES, 4)
    assert np.allclose(predict_outputs(network, EXAMPLES, 4, views="mirrored"), plain, rtol=1e-6)
    shifted = predict_outputs(network, EXAMPLES, 4, views="mirrored_shifted")
    assert not np.allclose(shifted, plain, rtol=1e-3)


def test_views_are_those_of_the_setting_with_weights_that_sum_to_one():
    assert set(VIEWS) == set(typing.get_args(SETTINGS["test_views"]))
    for views, table in VIEWS.items():
        assert sum(weight for weight, *_ in table) == 1
        shown = list(make_views(IMAGES, views))
        assert len(shown) == len(table)
        assert all(view.shape == IMAGES.shape and view.dtype == np.uint8 for view in shown)
    assert describe_views("mirrored_shifted") == "mirrored and shifted"
