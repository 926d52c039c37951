"""The Inception networks against their papers' tables and against `keras.applications`."""

import json
import zipfile

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.models.parts.blocks import local_response_norm

COUNTS = {
    ("googlenet", (224, 224, 3), 1000, ()): (13_378_280, 13_378_280),
    ("googlenet", (224, 224, 3), 1000, ("model.auxiliary_weight=0",)): (6_998_552, 6_998_552),
    ("inception_v2", (224, 224, 3), 1000, ()): (11_298_560, 11_278_528),
    # The network in Caffe has 11,295,240: 10,016 biases more, which batch norm makes useless.
    ("inception_v2", (224, 224, 3), 1000, ("model.separable_stem=false",)): (
        11_305_256,
        11_285_224,
    ),
    ("inception_v3", (299, 299, 3), 1000, ("model.auxiliary_weight=0",)): (23_851_784, 23_817_352),
    # With the classifier of the released network: 98,688 + 2,459,904 + 769,000 more.
    ("inception_v3", (299, 299, 3), 1000, ()): (27_179_376, None),
    ("inception_v4", (299, 299, 3), 1000, ()): (None, 42_679_816),
    # FaceNet's network of this name has 22,578,384 without its head, and one block more on the
    # last grid, of 1,601,536. The head has 1,793,000.
    ("inception_resnet_v1", (299, 299, 3), 1000, ()): (22_769_848, None),
    ("inception_resnet_v2", (299, 299, 3), 1000, ()): (55_873_736, 55_813_192),
    ("inception_resnet_v2", (299, 299, 3), 1000, ("model.variant=paper",)): (32_450_360, None),
    ("inception_mini", (32, 32, 3), 10, ()): (299_242, 296_490),
}
SMALLEST = {
    "googlenet": 65,
    "inception_v3": 107,
    "inception_v4": 75,
    "inception_resnet_v1": 75,
    "inception_resnet_v2": 75,
}
HEAVY = {
    "inception_v3": "a second or more",
    "inception_v4": "a second or more",
    "inception_resnet_v1": "a second or more",
    "inception_resnet_v2": "ten seconds",
}
NO_HEADS = "model.auxiliary_weight=0"
RELEASED = {
    "inception_v3": ("InceptionV3", (NO_HEADS,)),
    "inception_resnet_v2": ("InceptionResNetV2", ()),
}


def shapes(network: keras.Model, kind: type) -> list[tuple]:
    """Return the output shapes (H, W, C) of all layers of a kind, in order."""
    return [layer.output.shape[1:] for layer in network.layers if isinstance(layer, kind)]


def multiply_adds(network: keras.Model) -> int:
    """Return the multiply-adds of convolutions and dense layers in one forward pass."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            places = np.prod(layer.output.shape[1:-1], dtype=int)
            total += int(places * np.prod(layer.kernel.shape))
    return total


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def randomise(network: keras.Model) -> None:
    """Set random weights, also where Keras begins with zeros and ones; signals keep their size."""
    random = np.random.default_rng(1)
    for weight in network.weights:
        if "kernel" in weight.path:
            value = random.normal(0, (2 / np.prod(weight.shape[:-1])) ** 0.5, weight.shape)
        elif "variance" in weight.path:
            value = random.uniform(0.5, 1.5, weight.shape)
        else:  # bias, beta, moving mean
            value = random.normal(0, 0.1, weight.shape)
        weight.assign(value)


# GoogLeNet.


def test_googlenet_has_the_shapes_and_the_work_of_table_1(spec):
    network = spec("model=googlenet", NO_HEADS).model((224, 224, 3), 1000)
    convs = shapes(network, keras.layers.Conv2D)
    assert convs[:3] == [(112, 112, 64), (56, 56, 64), (56, 56, 192)]
    assert shapes(network, keras.layers.Concatenate) == [
        (28, 28, 256),
        (28, 28, 480),
        *[(14, 14, 512)] * 3,
        (14, 14, 528),
        (14, 14, 832),
        (7, 7, 832),
        (7, 7, 1024),
    ]
    assert len(convs) == 57
    assert multiply_adds(network) / 1e9 == pytest.approx(1.58, rel=0.01)


def test_googlenet_puts_its_heads_behind_the_logits(spec):
    network = spec("model=googlenet").model((224, 224, 3), 17)
    assert [output.shape for output in network.outputs] == [(None, 17)] * 3
    assert network.auxiliary == (0.3, 0.3)
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    found = sorted(tuple(layer.kernel.shape) for layer in dense)
    assert found == [(1024, 17)] * 3 + [(2048, 1024)] * 2
    assert spec("model=googlenet", NO_HEADS).model((64, 64, 3), 17).auxiliary == ()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("model=googlenet", 65),
        ("model=googlenet model.stem=small", 17),
        pytest.param("model=inception_v3", 107, marks=pytest.mark.slow),
    ],
)
def test_auxiliary_heads_fit_from_the_size_that_the_error_names(spec, options, size):
    model = spec(*options.split()).model
    assert len(model((size, size + 40, 3), 5).outputs) > 1
    with pytest.raises(SpecError, match=f"{size}x{size} or larger for the heads") as refused:
        model((size + 40, size - 1, 3), 5)
    assert NO_HEADS in refused.value.hint
    assert spec(*options.split(), NO_HEADS).model((size - 1, size + 40, 3), 5).auxiliary == ()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (f"model=googlenet {NO_HEADS}", 32),
        (f"model=googlenet model.stem=small {NO_HEADS}", 8),
        ("model=inception_v2", 32),
        ("model=inception_v2 model.stem=small", 8),
        ("model=inception_tutorial", 32),
        pytest.param("model=inception_naive", 32, marks=pytest.mark.slow),
        ("model=inception_mini", 4),
        ("model=inception_mini model.stride=4 model.blocks=[1]", 4),
        pytest.param(f"model=inception_v3 {NO_HEADS}", 75, marks=pytest.mark.slow),
        pytest.param("model=inception_v4", 75, marks=pytest.mark.slow),
        pytest.param("model=inception_resnet_v1", 75, marks=pytest.mark.slow),
        pytest.param("model=inception_resnet_v2", 75, marks=pytest.mark.slow),
        pytest.param("model=inception_resnet_v2 model.variant=paper", 75, marks=pytest.mark.slow),
    ],
)
def test_images_are_refused_below_the_smallest_that_fits(spec, options, size):
    model = spec(*options.split()).model
    (logits,) = model((size, size + 9, 1), 5).outputs
    assert logits.shape == (None, 5)
    with pytest.raises(SpecError, match=f"{size}x{size} or larger"):
        model((size - 1, size + 9, 1), 5)


def test_local_response_norm_is_that_of_the_paper():
    x = 10 * pixels(2, 3, 3, 7)
    expected = np.empty_like(x)
    for channel in range(7):
        near = x[..., max(0, channel - 2) : channel + 3]
        expected[..., channel] = x[..., channel] / (2 + 0.01 * (near**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(local_response_norm(x, alpha=0.01), expected, rtol=1e-5)


def test_local_response_norm_does_not_overflow_in_half_precision():
    x = keras.Input((4, 4, 8), dtype="float16")
    network = keras.Model(x, local_response_norm(x))
    normed = np.asarray(network(np.full((1, 4, 4, 8), 400, "float16")))
    assert normed.dtype == "float16"
    assert normed.max() > 1, "the squares overflowed"


# Inception v2, v3, v4 and Inception-ResNet.


def test_inception_v2_has_the_grids_of_its_figure(spec):
    network = spec("model=inception_v2").model((224, 224, 3), 1000)
    assert shapes(network, keras.layers.Concatenate) == [
        (28, 28, 256),
        (28, 28, 320),
        (14, 14, 576),
        (14, 14, 576),
        (14, 14, 576),
        (14, 14, 608),  # 576 in the figure, whose filters do not add up to it
        (14, 14, 608),
        (7, 7, 1056),
        (7, 7, 1024),
        (7, 7, 1024),
    ]


def test_small_stems_divide_images_by_two(spec):
    for option, overrides in (("googlenet", (NO_HEADS,)), ("inception_v2", ())):
        network = spec(f"model={option}", "model.stem=small", *overrides).model((32, 32, 3), 10)
        assert shapes(network, keras.layers.Concatenate)[0] == (16, 16, 256)
        assert shapes(network, keras.layers.Concatenate)[-1] == (4, 4, 1024)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "grids"),
    [
        ("model=inception_v3", [(35, 35, 288), (17, 17, 768), (8, 8, 2048)]),
        ("model=inception_v4", [(35, 35, 384), (17, 17, 1024), (8, 8, 1536)]),
    ],
)
def test_grids_are_those_of_the_paper(spec, options, grids):
    network = spec(*options.split()).model((299, 299, 3), 1000)
    found = shapes(network, keras.layers.Concatenate)
    assert [shape for shape in grids if shape in found] == grids
    assert found[-1] == grids[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "blocks"),
    [
        ("model=inception_resnet_v1", {(35, 35, 256): 5, (17, 17, 896): 10, (8, 8, 1792): 5}),
        (
            "model=inception_resnet_v2 model.variant=paper",
            {(35, 35, 384): 5, (17, 17, 1152): 10, (8, 8, 2144): 5},
        ),
        (
            "model=inception_resnet_v2",
            {(35, 35, 320): 10, (17, 17, 1088): 20, (8, 8, 2080): 10},
        ),
    ],
)
def test_residual_blocks_are_those_of_the_paper(spec, options, blocks):
    network = spec(*options.split()).model((299, 299, 3), 10)
    sums = shapes(network, keras.layers.Add)
    assert {shape: sums.count(shape) for shape in sums} == blocks


@pytest.mark.slow
@pytest.mark.parametrize("option", RELEASED)
def test_logits_are_those_of_keras_with_the_same_weights(spec, option):
    name, overrides = RELEASED[option]
    ours = spec(f"model={option}", *overrides).model((139, 139, 3), 11)
    theirs = getattr(keras.applications, name)(
        weights=None, input_shape=(139, 139, 3), classes=11, classifier_activation=None
    )
    randomise(theirs)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    images = pixels(2, 139, 139, 3)
    expected = np.asarray(theirs(images))
    assert np.ptp(expected) > 0.1, "no trivial logits"
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(np.asarray(ours(images)) / scale, expected / scale, atol=1e-4)


@pytest.mark.slow
def test_inception_v3_with_its_head_gives_the_same_logits(spec):
    plain = spec("model=inception_v3", NO_HEADS).model((107, 107, 3), 5)
    network = spec("model=inception_v3").model((107, 107, 3), 5)
    assert network.auxiliary == (0.4,)
    body = keras.Model(network.inputs, network.outputs[0])
    assert [w.shape for w in body.weights] == [w.shape for w in plain.weights]


# Our own small Inception.


def test_inception_mini_is_small_and_scales(spec):
    network = spec("model=inception_mini").model((32, 32, 3), 10)
    assert network.count_params() < 300_000
    assert multiply_adds(network) < 60e6
    assert shapes(network, keras.layers.Concatenate) == [
        *[(32, 32, 64)] * 2,
        *[(16, 16, 128)] * 2,
        *[(8, 8, 256)] * 2,
    ]
    halved = spec("model=inception_mini", "model.stride=2").model((64, 64, 3), 10)
    assert multiply_adds(halved) == multiply_adds(network)


@pytest.mark.parametrize(
    "options",
    [
        ("model=googlenet", "model.stem=small"),
        ("model=inception_mini", "model.blocks=[1,1]"),
        pytest.param(("model=inception_v2", "model.stem=small"), marks=pytest.mark.slow),
        pytest.param(("model=inception_v3", NO_HEADS), marks=pytest.mark.slow),
        pytest.param(("model=inception_v4",), marks=pytest.mark.slow),
        pytest.param(("model=inception_resnet_v1",), marks=pytest.mark.slow),
    ],
)
def test_saved_network_needs_none_of_our_code(spec, tmp_path, options):
    size = 32 if "small" in options[-1] or "blocks" in options[-1] else 75
    model = spec(*options).model((size, size, 3), 3)
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        assert "cnntrain" not in json.dumps(json.loads(archive.read("config.json")))
    loaded = keras.models.load_model(path)
    images = pixels(2, size, size, 3)
    for got, expected in zip(as_list(loaded(images)), as_list(model(images)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def as_list(outputs):
    return outputs if isinstance(outputs, list) else [outputs]
