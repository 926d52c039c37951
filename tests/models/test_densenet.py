"""DenseNet against Tables 1 and 2 of the paper and against `keras.applications`."""

import math

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError

COUNTS = {
    ("densenet121", (224, 224, 3), 1000, ()): (8_062_504, 7_978_856),
    ("densenet169", (224, 224, 3), 1000, ()): (14_307_880, 14_149_480),
    ("densenet201", (224, 224, 3), 1000, ()): (20_242_984, 20_013_928),
    ("densenet264", (224, 224, 3), 1000, ()): (33_736_232, 33_337_704),
    ("densenet40_k12", (32, 32, 3), 10, ()): (None, 1_019_722),
    ("densenet_bc100_k12", (32, 32, 3), 10, ()): (None, 769_162),
}
SMALLEST = {}
HEAVY = {
    "densenet121": "a second or more",
    "densenet169": "a second or more",
    "densenet201": "a second or more",
    "densenet264": "a second or more",
    "densenet_bc100_k12": "a second or more",
}
# One block of the CIFAR networks is enough for what does not depend on the depth.
QUICK = ("model=densenet40_k12", "model.growth=4")


def pixels(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.fixture(scope="module")
def densenet121():
    """Return DenseNet-121 of the paper."""
    from cnntrain.spec.build import build_spec as check
    from cnntrain.spec.compose import compose_config

    return check(compose_config(["model=densenet121"]).config).model((224, 224, 3), 1000)


@pytest.mark.slow
def test_layers_have_the_shapes_of_table_1(densenet121):
    shapes = {
        "conv1_conv": (112, 112, 64),
        "pool1": (56, 56, 64),
        "conv2_block6_concat": (56, 56, 256),
        "pool2_conv": (56, 56, 128),
        "pool2_pool": (28, 28, 128),
        "conv3_block12_concat": (28, 28, 512),
        "pool3_pool": (14, 14, 256),
        "conv4_block24_concat": (14, 14, 1024),
        "pool4_pool": (7, 7, 512),
        "conv5_block16_concat": (7, 7, 1024),
        "avg_pool": (1024,),
        "predictions": (1000,),
    }
    found = {name: densenet121.get_layer(name).output.shape[1:] for name in shapes}
    assert found == shapes


@pytest.mark.slow
def test_multiply_adds_are_those_of_our_table(densenet121):
    total = sum(
        math.prod(x.kernel.shape) * math.prod(x.output.shape[1:-1])
        for x in densenet121.layers
        if hasattr(x, "kernel")
    )
    assert total == pytest.approx(2.83e9, rel=0.01)


@pytest.mark.parametrize(
    ("option", "depth", "shapes"),
    [
        ("densenet40_k12", 40, [(32, 32, 160), (16, 16, 304), (8, 8, 448)]),
        pytest.param(
            *("densenet_bc100_k12", 100, [(32, 32, 216), (16, 16, 300), (8, 8, 342)]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_cifar_networks_have_their_depth_and_widths(spec, option, depth, shapes):
    network = spec(f"model={option}").model((32, 32, 3), 10)
    weighted = [
        x for x in network.layers if isinstance(x, keras.layers.Conv2D | keras.layers.Dense)
    ]
    assert len(weighted) == depth
    last = 12 if depth == 40 else 16
    found = [network.get_layer(f"conv{s}_block{last}_concat").output.shape[1:] for s in (2, 3, 4)]
    assert found == shapes


@pytest.mark.parametrize(
    ("depth", "size"),
    [
        pytest.param(121, 32, marks=pytest.mark.slow),
        pytest.param(169, 32, marks=pytest.mark.slow),
        pytest.param(201, 64, marks=pytest.mark.slow),
    ],
)
def test_logits_are_those_of_keras_applications_with_the_same_weights(spec, depth, size):
    keras.utils.set_random_seed(0)
    theirs = getattr(keras.applications, f"DenseNet{depth}")(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    ours = spec(f"model=densenet{depth}").model((size, size, 3), 10)
    randomise(theirs)
    for layer in theirs.layers:
        if layer.weights:  # by name
            ours.get_layer(layer.name).set_weights(layer.get_weights())
    assert len(ours.weights) == len(theirs.weights)
    images = pixels(2, size, size, 3)
    expected = np.asarray(theirs(images))
    assert expected.std() > 0.1, "no trivial logits"
    np.testing.assert_allclose(ours(images), expected, atol=1e-4)


def randomise(network):
    """Set random statistics, scales and shifts; the initial ones would hide a mistake."""
    random = np.random.default_rng(0)
    for weight in network.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "moving_mean"):
            weight.assign(random.normal(0, 0.1, weight.shape))


def test_layers_add_to_all_that_was_there(spec):
    network = spec(*QUICK).model((8, 8, 3), 10)
    before, after = (
        keras.Model(network.input, network.get_layer(f"conv2_block{n}_concat").output)
        for n in (1, 2)
    )
    images = pixels(1, 8, 8, 3)
    assert before.output.shape[-1] == 16 + 4
    np.testing.assert_allclose(after(images)[..., :20], before(images), atol=1e-6)
    assert after.output.shape[-1] == 16 + 8


def test_dropout_follows_every_convolution_but_the_first(spec):
    network = spec(*QUICK, "model.dropout=0.2").model((8, 8, 3), 10)
    assert sum(isinstance(x, keras.layers.Dropout) for x in network.layers) == 38


@pytest.mark.parametrize("value", ["0", "1.5"])
def test_compression_is_a_share(spec, value):
    with pytest.raises(SpecError, match=f"compression is {value}"):
        spec(*QUICK, f"model.compression={value}")


@pytest.mark.parametrize(
    ("variant", "stem", "smallest"),
    [("40", "cifar", 4), ("40", "imagenet", 16), ("121", "imagenet", 32)],
)
def test_images_too_small_are_refused_and_the_smallest_is_enough(spec, variant, stem, smallest):
    build = spec(*QUICK, f"model.variant='{variant}'", f"model.stem={stem}").model
    with pytest.raises(SpecError, match=f"{smallest}x{smallest} or larger"):
        build((smallest, smallest - 1, 3), 10)
    if variant == "40":
        assert build((smallest, smallest, 3), 10).get_layer("relu").output.shape[1:3] == (1, 1)


@pytest.mark.parametrize(
    "overrides",
    [(), pytest.param(("model.bottleneck=true", "model.stem=imagenet"), marks=pytest.mark.slow)],
)
def test_saved_network_needs_none_of_our_code(spec, tmp_path, overrides):
    network = spec(*QUICK, *overrides).model((16, 16, 3), 10)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded(pixels(2, 16, 16, 3)), network(pixels(2, 16, 16, 3)), atol=1e-5
    )
