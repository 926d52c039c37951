"""AlexNet against section 3.5 of the paper, layer by layer."""

import math

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.models.alexnet import GROUPED
from helpers.layers import build_paper_network, describe_layers, read_table

COUNTS = {
    ("alexnet", (227, 227, 3), 1000, ()): (62_378_344, 62_378_344),
    ("alexnet", (227, 227, 3), 1000, ("model.groups=2",)): (60_965_224, 60_965_224),
    ("alexnet_bn", (224, 224, 3), 17, ()): (24_834_833, 24_815_697),
    ("alexnet_bn_11", (224, 224, 3), 17, ()): (28_096_769, None),
}
SMALLEST = {"alexnet": 67, "alexnet_bn": 163, "alexnet_bn_11": 215}
HEAVY = {}

# The hidden layers hold nearly all the weights; they are small here if the weights do not matter.
SMALL = ("model=alexnet", "model.hidden=[8]", "model.dropout=0")

# The network of section 3.5 on one GPU; the rows from `lrn` to the pool change places in tables of
# other sources, and the dropouts stand in front of the dense layers.
PAPER = """
conv 11x11/4        55x55x96
relu                55x55x96
lrn                 55x55x96
max pool 3x3/2      27x27x96
conv 5x5            27x27x256
relu                27x27x256
lrn                 27x27x256
max pool 3x3/2      13x13x256
conv 3x3            13x13x384
relu                13x13x384
conv 3x3            13x13x384
relu                13x13x384
conv 3x3            13x13x256
relu                13x13x256
max pool 3x3/2      6x6x256
flatten             9216
dense               4096
relu                4096
dropout 0.5         4096
dense               4096
relu                4096
dropout 0.5         4096
dense               1000
"""
POOL_FIRST = """
conv 11x11/4        55x55x96
relu                55x55x96
max pool 3x3/2      27x27x96
lrn                 27x27x96
conv 5x5            27x27x256
relu                27x27x256
max pool 3x3/2      13x13x256
lrn                 13x13x256
conv 3x3            13x13x384
relu                13x13x384
conv 3x3            13x13x384
relu                13x13x384
conv 3x3            13x13x256
relu                13x13x256
max pool 3x3/2      6x6x256
flatten             9216
dropout 0.5         9216
dense               4096
relu                4096
dropout 0.5         4096
dense               4096
relu                4096
dense               1000
"""
COURSE = """
conv 11x11/4        54x54x96
relu                54x54x96
max pool 3x3/2      26x26x96
batch norm          26x26x96
conv 5x5            26x26x256
relu                26x26x256
max pool 3x3/2      12x12x256
batch norm          12x12x256
conv 3x3            10x10x384
relu                10x10x384
batch norm          10x10x384
conv 3x3            8x8x384
relu                8x8x384
batch norm          8x8x384
conv 3x3            6x6x256
relu                6x6x256
max pool 3x3/2      2x2x256
batch norm          2x2x256
flatten             1024
dense               4096
relu                4096
dropout 0.4         4096
batch norm          4096
dense               4096
relu                4096
dropout 0.4         4096
batch norm          4096
dense               17
"""
COURSE_11 = """
conv 11x11/4        54x54x96
relu                54x54x96
max pool 2x2/2      27x27x96
batch norm          27x27x96
conv 11x11          17x17x256
relu                17x17x256
max pool 2x2/2      8x8x256
batch norm          8x8x256
conv 3x3            6x6x384
relu                6x6x384
batch norm          6x6x384
conv 3x3            4x4x384
relu                4x4x384
batch norm          4x4x384
conv 3x3            2x2x256
relu                2x2x256
max pool 2x2/2      1x1x256
batch norm          1x1x256
flatten             256
dense               4096
relu                4096
dropout 0.4         4096
batch norm          4096
dense               4096
relu                4096
dropout 0.4         4096
batch norm          4096
dense               1000
relu                1000
dropout 0.4         1000
batch norm          1000
dense               17
"""


@pytest.mark.parametrize(
    ("option", "overrides", "table"),
    [
        ("alexnet", ["model.groups=1"], PAPER),
        (
            "alexnet",
            ["model.groups=1", "model.norm_position=after", "model.dropout_position=before"],
            POOL_FIRST,
        ),
        ("alexnet_bn", [], COURSE),
        ("alexnet_bn_11", [], COURSE_11),
    ],
)
def test_layers_are_those_of_the_table_in_its_order(option, overrides, table):
    assert describe_layers(build_paper_network(option, overrides)) == read_table(table)


def test_batch_norm_before_the_relu_is_that_of_its_paper():
    network = build_paper_network("alexnet_bn", ["model.norm_position=before"])
    kinds = [row.rpartition(" ")[0] for row in describe_layers(network)]
    layers = ["conv 3x3", "batch norm", "relu"]
    assert kinds[:4] == ["conv 11x11/4", "batch norm", "relu", "max pool 3x3/2"]
    assert kinds[8:14] == layers * 2
    assert kinds[-5:] == ["dense", "batch norm", "relu", "dropout 0.4", "dense"]


def pixels(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.fixture(scope="module")
def paper():
    """Return the networks of one and of two groups, as in the paper."""
    from cnntrain.spec.build import build_spec as check
    from cnntrain.spec.compose import compose_config

    def build(groups):
        checked = check(compose_config(["model=alexnet", f"model.groups={groups}"]).config)
        return checked.model((227, 227, 3), 1000)

    return {groups: build(groups) for groups in (1, 2)}


def parts(network, name):
    """Return the layers that hold the weights of a convolution or a dense layer."""
    layers = [x for x in network.layers if x.weights and x.name.partition("_")[0] == name]
    assert layers
    return layers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("groups", "counts"),
    [
        (1, [34_944, 614_656, 885_120, 1_327_488, 884_992, 37_752_832, 16_781_312, 4_097_000]),
        (2, [34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000]),
    ],
)
def test_layers_have_the_parameters_of_the_paper(paper, groups, counts):
    names = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "predictions"]
    found = [sum(x.count_params() for x in parts(paper[groups], name)) for name in names]
    assert found == counts


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "giga"), [(1, 1.135), (2, 0.724)])
def test_multiply_adds_are_those_of_the_paper(paper, groups, giga):
    total = sum(
        math.prod(x.kernel.shape) * math.prod(x.output.shape[1:-1])
        for x in paper[groups].layers
        if x.weights
    )
    assert total == pytest.approx(giga * 1e9, rel=0.01)


def test_two_groups_are_a_grouped_convolution(spec):
    network = spec(*SMALL, "model.groups=2").model((67, 67, 3), 5)
    for number in GROUPED:
        halves = parts(network, f"conv{number}")
        first = halves[0]
        joined = keras.layers.Conv2D(first.filters * 2, first.kernel_size, padding="same", groups=2)
        maps = pixels(1, 5, 5, first.kernel.shape[2] * 2)
        joined.build(maps.shape)
        joined.set_weights(
            [
                np.concatenate([x.kernel for x in halves], axis=-1),
                np.concatenate([x.bias for x in halves]),
            ]
        )
        split = [half(x) for half, x in zip(halves, np.split(maps, 2, axis=-1), strict=True)]
        np.testing.assert_allclose(np.concatenate(split, axis=-1), joined(maps), atol=1e-4)


@pytest.mark.parametrize(
    "overrides", [("model.groups=2",), pytest.param(("model.norm=batch",), marks=pytest.mark.slow)]
)
def test_every_weight_learns_on_a_cpu(spec, overrides):
    checked = spec(*SMALL, *overrides)
    network = checked.model((67, 67, 3), 5)
    checked.initializer(network, 0)
    before = [w.numpy() for w in network.trainable_weights]
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.train_on_batch(pixels(5, 67, 67, 3), np.arange(5))
    for old, weight in zip(before, network.trainable_weights, strict=True):
        assert (old != weight.numpy()).any(), weight.path


@pytest.mark.parametrize("option", sorted(SMALLEST))
def test_smallest_size_is_named_and_is_enough(spec, option):
    size = SMALLEST[option]
    build = spec(f"model={option}", "model.hidden=[8]").model
    with pytest.raises(SpecError, match=f"{size}x{size} or larger") as refused:
        build((size - 1, size, 3), 17)
    assert refused.value.hint == f"dataset.image_size=[{size},{size}]"
    assert build((size, size, 3), 17).get_layer("pool5").output.shape[1:3] == (1, 1)


@pytest.mark.parametrize("overrides", [("model.groups=2",), ("model.norm=batch",)])
def test_saved_network_needs_none_of_our_code(spec, tmp_path, overrides):
    network = spec(*SMALL, *overrides).model((67, 67, 3), 5)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded(pixels(2, 67, 67, 3)), network(pixels(2, 67, 67, 3)), atol=1e-5
    )
