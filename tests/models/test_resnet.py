"""ResNets for ImageNet: Table 1 of the paper, and `keras.applications` weight by weight."""

import math

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError

COUNTS = {
    ("resnet18", (224, 224, 3), 1000, ()): (None, 11_689_512),
    ("resnet18", (224, 224, 3), 10, ()): (None, 11_181_642),
    ("resnet34", (224, 224, 3), 1000, ()): (None, 21_797_672),
    ("resnet34", (224, 224, 3), 10, ()): (None, 21_289_802),
    ("resnet50", (224, 224, 3), 1000, ()): (None, 25_557_032),
    ("resnet50", (224, 224, 3), 10, ()): (None, 23_528_522),
    ("resnet101", (224, 224, 3), 1000, ()): (None, 44_549_160),
    ("resnet101", (224, 224, 3), 10, ()): (None, 42_520_650),
    ("resnet152", (224, 224, 3), 1000, ()): (None, 60_192_808),
    ("resnet152", (224, 224, 3), 10, ()): (None, 58_164_298),
    # The parameters of ResNet-18 and 34 without the projections.
    ("plain18", (224, 224, 3), 1000, ()): (None, 11_515_688),
    ("plain34", (224, 224, 3), 1000, ()): (None, 21_623_848),
    ("resnext50", (224, 224, 3), 1000, ()): (None, 25_028_904),
    ("resnext101", (224, 224, 3), 1000, ()): (None, 44_177_704),
    ("se_resnet50", (224, 224, 3), 1000, ()): (None, 28_088_024),
    # Totals of keras.applications.
    ("resnet50", (224, 224, 3), 1000, ("model.conv_bias=true",)): (25_636_712, None),
    ("resnet101", (224, 224, 3), 1000, ("model.conv_bias=true",)): (44_707_176, None),
    ("resnet152", (224, 224, 3), 1000, ("model.conv_bias=true",)): (60_419_944, None),
    ("resnet50_v2", (224, 224, 3), 1000, ("model.conv_bias=true",)): (25_613_800, None),
    ("resnet101_v2", (224, 224, 3), 1000, ("model.conv_bias=true",)): (44_675_560, None),
    ("resnet152_v2", (224, 224, 3), 1000, ("model.conv_bias=true",)): (60_380_648, None),
}
SMALLEST = {}
HEAVY = {
    "resnet50": "a second or more",
    "resnet101": "a second or more",
    "resnet152": "a second or more",
    "resnet50_v2": "a second or more",
    "resnet101_v2": "a second or more",
    "resnet152_v2": "a second or more",
    "resnext50": "a second or more",
    "resnext101": "a second or more",
    "se_resnet50": "a second or more",
}


def images(size: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")


def randomise(network: keras.Model) -> None:
    """Give every weight a random value of its own, norms and their statistics included.

    Small scales of the norms keep the feature maps of a hundred blocks, and so the logits, near 1.
    """
    random = np.random.default_rng(1)
    for weight in network.weights:
        name = weight.path.rpartition("/")[2]
        if name == "kernel":
            fan_in = math.prod(weight.shape[:-1])
            value = random.normal(size=weight.shape) * (2 / fan_in) ** 0.5
        elif name == "gamma":
            value = random.uniform(0.3, 0.7, weight.shape)
        elif name == "moving_variance":
            value = random.uniform(0.5, 1.5, weight.shape)
        else:
            value = random.normal(size=weight.shape) * 0.1
        weight.assign(value)


def multiply_adds(network: keras.Model) -> int:
    """Return the multiply-adds of convolutions and dense layers for one image."""
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    return sum(
        math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in network.layers
        if isinstance(layer, kinds)
    )


# Against the papers.


@pytest.mark.parametrize(
    ("option", "maps"),
    [
        ("resnet18", (64, 128, 256, 512)),
        ("plain34", (64, 128, 256, 512)),
        pytest.param("resnet50", (256, 512, 1024, 2048), marks=pytest.mark.slow),
        pytest.param("resnet50_v2", (256, 512, 1024, 2048), marks=pytest.mark.slow),
        pytest.param("resnext50", (256, 512, 1024, 2048), marks=pytest.mark.slow),
    ],
)
def test_stages_have_the_shapes_of_table_1(spec, option, maps):
    model = spec(f"model={option}").model((224, 224, 3), 1000)
    assert model.get_layer("conv1_conv").output.shape[1:] == (112, 112, 64)
    assert model.get_layer("pool1_pool").output.shape[1:] == (56, 56, 64)
    for stage, size, filters in zip((2, 3, 4, 5), (56, 28, 14, 7), maps, strict=True):
        names = [la.name for la in model.layers if la.name.startswith(f"conv{stage}_block")]
        outs = [model.get_layer(n).output.shape[1:] for n in names if n.endswith("_out")]
        assert set(outs) == {(size, size, filters)}


@pytest.mark.parametrize(
    ("option", "depth"),
    [("resnet18", 18), ("resnet34", 34)]
    + [pytest.param(f"resnet{n}", n, marks=pytest.mark.slow) for n in (50, 101, 152)],
)
def test_depth_counts_the_layers_but_the_projections(spec, option, depth):
    model = spec(f"model={option}").model((64, 64, 3), 10)
    kernels = [w.path for w in model.weights if w.path.endswith("kernel")]
    assert len([path for path in kernels if "_0_conv" not in path]) == depth


@pytest.mark.parametrize(
    ("option", "stride_in", "expected"),
    [
        ("resnet18", "first", 1.81e9),
        ("resnet34", "first", 3.66e9),
        pytest.param("resnet50", "first", 3.86e9, marks=pytest.mark.slow),
        pytest.param("resnet50", "second", 4.09e9, marks=pytest.mark.slow),
        pytest.param("resnet101", "first", 7.57e9, marks=pytest.mark.slow),
        pytest.param("resnet152", "first", 11.28e9, marks=pytest.mark.slow),
    ],
)
def test_multiply_adds_are_those_of_the_paper(spec, option, stride_in, expected):
    model = spec(f"model={option}", f"model.stride_in={stride_in}").model((224, 224, 3), 1000)
    assert multiply_adds(model) == pytest.approx(expected, rel=0.01)


def test_stem_for_cifar_keeps_the_size(spec):
    model = spec("model=resnet18", "model.stem=cifar").model((32, 32, 3), 10)
    assert model.get_layer("conv1_conv").kernel.shape == (3, 3, 3, 64)
    assert model.get_layer("conv5_block2_out").output.shape[1:] == (4, 4, 512)


def test_plain_network_has_no_shortcut(spec):
    model = spec("model=plain18").model((32, 32, 3), 10)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]


@pytest.mark.parametrize(
    ("stem", "size", "hint"),
    [
        ("imagenet", 28, "model.stem=cifar or dataset.image_size=[32,32]"),
        ("cifar", 7, "dataset.image_size=[8,8]"),
    ],
)
@pytest.mark.parametrize("option", ["resnet18", "resnet50_v2"])
def test_images_too_small_are_refused(spec, option, stem, size, hint):
    with pytest.raises(SpecError, match=f"got {size}x{size} images") as refused:
        spec(f"model={option}", f"model.stem={stem}").model((size, size, 1), 10)
    assert refused.value.hint == hint


# Against `keras.applications`.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "peer"),
    [
        ("resnet50", "ResNet50"),
        ("resnet101", "ResNet101"),
        ("resnet152", "ResNet152"),
        ("resnet50_v2", "ResNet50V2"),
        ("resnet101_v2", "ResNet101V2"),
        ("resnet152_v2", "ResNet152V2"),
    ],
)
def test_logits_are_those_of_keras_with_the_same_weights(spec, option, peer):
    last = ("model.strided_block=last",) if option.endswith("v2") else ()
    ours = spec(f"model={option}", "model.conv_bias=true", *last).model((64, 64, 3), 1000)
    theirs = getattr(keras.applications, peer)(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    randomise(theirs)
    ours.set_weights(theirs.get_weights())
    expected = np.asarray(theirs(images(64)))
    assert np.ptp(expected) > 0.1, "no trivial logits"
    np.testing.assert_allclose(ours(images(64)), expected, atol=1e-4)


# The parts.


def test_grouped_convolution_is_the_one_of_keras():
    from cnntrain.models.parts.resnet_stem import conv

    inputs = keras.Input((8, 8, 12))
    ours = keras.Model(inputs, conv(inputs, 12, 3, 2, True, "a_conv", groups=3))
    padded = keras.layers.ZeroPadding2D(1)(inputs)
    peer = keras.layers.Conv2D(12, 3, 2, groups=3)
    theirs = keras.Model(inputs, peer(padded))
    randomise(ours)
    kernels, biases = ours.get_weights()[::2], ours.get_weights()[1::2]
    peer.set_weights([np.concatenate(kernels, axis=-1), np.concatenate(biases)])
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 12)).astype("float32")
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)


def test_grouped_convolutions_train(spec):
    """Every group's kernel moves in a stage of ResNeXt on a CPU."""
    from cnntrain.models.resnet import Design, block

    inputs = keras.Input((8, 8, 16))
    design = Design((1, 1, 1, 1), groups=4, widening=2)
    x = block(inputs, 8, 2, design, "second", False, "block")
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = network.get_weights()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 16))
    network.train_on_batch(x, np.array([0, 1, 2, 0]))
    changed = [not np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert all(changed)


@pytest.mark.slow
def test_resnext_trains_a_step(spec):
    model = spec("model=resnext50", "model.stem=cifar").model((8, 8, 3), 10)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.train_on_batch(images(8), np.array([1, 2])))


@pytest.mark.slow
def test_excitation_weighs_the_maps(spec):
    model = spec("model=se_resnet50").model((32, 32, 3), 10)
    randomise(model)
    inner = keras.Model(
        model.input,
        [model.get_layer(f"conv3_block2_{part}").output for part in ("3_bn", "se_scale")],
    )
    maps, weighed = (np.asarray(output) for output in inner(images(32)))
    reduce, excite = (model.get_layer(f"conv3_block2_se_{n}") for n in ("reduce", "excite"))
    hidden = np.maximum(maps.mean((1, 2)) @ reduce.kernel.numpy() + reduce.bias.numpy(), 0)
    weights = 1 / (1 + np.exp(-(hidden @ excite.kernel.numpy() + excite.bias.numpy())))
    np.testing.assert_allclose(weighed, maps * weights[:, None, None], atol=1e-4)


@pytest.mark.parametrize(
    "option",
    ["resnet18"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("plain34", "resnet50_v2", "resnext50", "se_resnet50")
    ],
)
def test_saved_network_loads_and_answers_alike(spec, tmp_path, option):
    model = spec(f"model={option}").model((32, 32, 3), 3)
    randomise(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images(32)), model(images(32)), atol=1e-5)
