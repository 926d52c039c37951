"""VGG against Table 1 of the paper and against `keras.applications`."""

import keras
import numpy as np
import pytest

from cnntrain.models.parts.blocks import local_response_norm
from helpers.layers import build_paper_network, describe_layers

COUNTS = {
    ("vgg11", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        132_863_336,
        None,
    ),
    ("vgg11", (224, 224, 3), 17, ("model.hidden=4096", "model.batch_norm=false")): (
        128_835_985,
        None,
    ),
    ("vgg11_lrn", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        132_863_336,
        None,
    ),
    ("vgg13", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        133_047_848,
        None,
    ),
    ("vgg16_1x1", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        133_638_952,
        None,
    ),
    ("vgg16", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        138_357_544,
        None,
    ),
    ("vgg16", (224, 224, 3), 17, ("model.hidden=4096", "model.batch_norm=false")): (
        134_330_193,
        None,
    ),
    ("vgg19", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        143_667_240,
        None,
    ),
}


# Table 1: the convolutions of each stage, of 64, 128, 256, 512 and 512 filters.
TABLE_1 = {
    "vgg11": "3, 3, 3 3, 3 3, 3 3",
    "vgg11_lrn": "3 lrn, 3, 3 3, 3 3, 3 3",
    "vgg13": "3 3, 3 3, 3 3, 3 3, 3 3",
    "vgg16_1x1": "3 3, 3 3, 3 3 1, 3 3 1, 3 3 1",
    "vgg16": "3 3, 3 3, 3 3 3, 3 3 3, 3 3 3",
    "vgg19": "3 3, 3 3, 3 3 3 3, 3 3 3 3, 3 3 3 3",
}
HIDDEN = ["dense 4096", "relu 4096", "dropout 0.5 4096"]
HEAD = ["flatten 25088", *HIDDEN, *HIDDEN, "dense 1000"]


@pytest.mark.parametrize(
    ("option", "position"),
    [*((option, None) for option in TABLE_1), ("vgg11", "before"), ("vgg11", "after")],
)
def test_layers_are_those_of_table_1(option, position):
    """`position` is that of batch normalisation, which the paper's networks have not."""
    rows, side = [], 224
    for stage, filters in zip(TABLE_1[option].split(", "), [64, 128, 256, 512, 512], strict=True):
        for word in stage.split():
            if word == "lrn":
                rows.append(f"lrn {side}x{side}x{filters}")
                continue
            order = [f"conv {word}x{word}", "relu"]
            if position:
                order.insert(1 if position == "before" else 2, "batch norm")
            rows += [f"{kind} {side}x{side}x{filters}" for kind in order]
        side //= 2
        last_norm = rows.pop() if position == "after" else None
        rows.append(f"max pool 2x2/2 {side}x{side}x{filters}")
        rows += [f"batch norm {side}x{side}x{filters}"] if last_norm else []
    knobs = ["model.batch_norm=true", f"model.norm_position={position}"] if position else []
    assert describe_layers(build_paper_network(option, knobs)) == [*rows, *HEAD]


@pytest.mark.parametrize(
    ("option", "peer"), [("vgg16", "VGG16"), pytest.param("vgg19", "VGG19", marks=pytest.mark.slow)]
)
def test_logits_are_those_of_keras_applications_with_the_same_weights(spec, option, peer):
    keras.utils.set_random_seed(0)
    theirs = getattr(keras.applications, peer)(
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    paper = ("model.hidden=4096", "model.batch_norm=false")
    ours = spec(f"model={option}", *paper).model((32, 32, 3), 10)
    random = np.random.default_rng(0)
    for layer in theirs.layers:
        if layer.weights:  # by name
            layer.kernel.assign(layer.kernel * 1.5)  # else little of the image reaches the logits
            layer.bias.assign(random.normal(0, 0.1, layer.bias.shape))
            ours.get_layer(layer.name).set_weights(layer.get_weights())
    assert len(ours.weights) == len(theirs.weights)
    images = random.normal(0, 10, (2, 32, 32, 3)).astype("float32")
    expected = np.asarray(theirs(images))
    assert np.ptp(expected, axis=0).max() > 0.1, "logits that depend on the image"
    np.testing.assert_allclose(ours(images), expected, atol=1e-4)


def test_a_lrn_is_a_with_one_normalisation_after_the_first_convolution(spec):
    small = ("model.batch_norm=false", "model.hidden=8")
    plain, normed = (
        spec(f"model={o}", *small).model((32, 32, 3), 5) for o in ("vgg11", "vgg11_lrn")
    )
    normed.set_weights(plain.get_weights())
    images = np.random.default_rng(0).normal(0, 100, (2, 32, 32, 3)).astype("float32")
    first, second = (
        keras.Model(n.input, n.get_layer("block1_pool").input)(images) for n in (plain, normed)
    )
    np.testing.assert_allclose(second, local_response_norm(first), rtol=1e-5)
    rest = keras.Model(plain.get_layer("block1_pool").input, plain.output)
    np.testing.assert_allclose(normed(images), rest(second), atol=1e-5)


def test_saved_a_lrn_needs_none_of_our_code(spec, tmp_path):
    network = spec("model=vgg11_lrn", "model.hidden=8").model((32, 32, 3), 5)
    network.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images), network(images), atol=1e-6)
