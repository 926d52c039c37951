"""Multiply-adds and receptive fields against counts by hand and published figures."""

import math

import keras
import pytest
from keras import layers, ops

from cnntrain.analysis import zoo
from cnntrain.analysis.layer_table import (
    count_totals,
    describe_layers,
    drop_auxiliary_heads,
    find_receptive_field,
)
from cnntrain.models.parts.blocks import local_response_norm
from cnntrain.training.networks.build import count_parameters

PAPER = "model.hidden=4096 model.batch_norm=false"
STEM = "model.stem=imagenet"
# (option, overrides, image side) -> 10^9 multiply-adds of one forward pass, 1000 classes.
MULTIPLY_ADDS = {
    ("alexnet", "model.groups=1", 227): 1.135,
    ("alexnet", "model.groups=2", 227): 0.724,
    ("vgg16", PAPER, 224): 15.47,
    ("vgg19", PAPER, 224): 19.63,
    ("vgg16_imagenet", "model.pool=flatten model.head=[4096,0.5,4096,0.5]", 224): 15.47,
    ("vgg19_imagenet", "model.pool=flatten model.head=[4096,0.5,4096,0.5]", 224): 19.63,
    ("googlenet", "", 224): 1.58,
    ("resnet18", STEM, 224): 1.81,
    ("resnet34", STEM, 224): 3.66,
    ("resnet50", f"{STEM} model.stride_in=first", 224): 3.86,
    ("resnet50", f"{STEM} model.stride_in=second", 224): 4.09,
    ("resnet101", f"{STEM} model.stride_in=first", 224): 7.57,
    ("resnet152", f"{STEM} model.stride_in=first", 224): 11.28,
    ("resnet50_imagenet", "", 224): 3.86,
    ("resnet101_imagenet", "", 224): 7.57,
    ("resnet152_imagenet", "", 224): 11.28,
    ("densenet121", "", 224): 2.83,
    ("densenet121_imagenet", "", 224): 2.83,
}
# Receptive fields of whole networks (Araujo, Norris & Sim 2019, doi:10.23915/distill.00021).
FIELDS = {
    "VGG16": 212,
    "MobileNet": 315,
    "ResNet50": 483,
    "ResNet101": 1027,
    "ResNet152": 1507,
    "InceptionV3": 1311,
    "InceptionResNetV2": 3039,
}
QUICK = ("vgg16", "VGG16", "MobileNet")


def timed(keys):
    """Parametrise a test; cases that are not quick run only with the slow tests."""
    for key in keys:
        name = key if isinstance(key, str) else key[0]
        yield pytest.param(key, marks=() if name in QUICK else pytest.mark.slow)


def network(outputs_of, *shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, outputs_of(inputs))


def last(*operations, shape=(32, 32, 8)):
    """Return the row of the last layer of a chain."""

    def chain(x):
        for operation in operations:
            x = operation(x)
        return x

    return describe_layers(network(chain, *shape))[-1]


# Published figures.


@pytest.mark.parametrize("key", timed(MULTIPLY_ADDS))
def test_multiply_adds_are_those_published(spec, key):
    option, overrides, side = key
    fresh = ["model.weights=null"] if option.endswith("_imagenet") else []
    model = spec(f"model={option}", *fresh, *overrides.split()).model
    with keras.StatelessScope(initialize_variables=False):
        built = drop_auxiliary_heads(model((side, side, 3), 1000))
    assert count_totals(built)["multiply_adds"] / 1e9 == pytest.approx(MULTIPLY_ADDS[key], rel=0.01)
    assert all(row.multiply_adds is not None for row in describe_layers(built))


@pytest.mark.parametrize("name", timed(FIELDS))
def test_receptive_fields_are_those_published(name):
    with keras.StatelessScope(initialize_variables=False):
        function = getattr(keras.applications, name)
        built = function(weights=None, include_top=False, input_shape=(224, 224, 3))
    assert find_receptive_field(describe_layers(built)) == (FIELDS[name],) * 2


# Every layer, in order.


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (layers.Conv2D(4, (1, 7), strides=2, activation="relu"), "Conv2D 1x7/2 relu"),
        (layers.Conv2D(8, 3, groups=4), "Conv2D 3x3 in 4 groups"),
        (layers.Dense(4, activation="softmax"), "Dense softmax"),
        (layers.Activation("tanh"), "Activation tanh"),
        (layers.ReLU(6), "ReLU up to 6"),
        (layers.ReLU(), "ReLU"),
        (layers.LeakyReLU(), "LeakyReLU slope 0.3"),
        (layers.Dropout(0.25), "Dropout rate 0.25"),
        (layers.AveragePooling2D(3, 2), "AveragePooling2D 3x3/2"),
        (layers.UpSampling2D(2, interpolation="bilinear"), "UpSampling2D 2x2/0.5 bilinear"),
        (layers.Flatten(), "Flatten"),
        (lambda x: ops.relu(x), "Relu"),
    ],
)
def test_table_says_what_a_layer_does(layer, what):
    assert last(layer).what == what


def test_branches_come_one_after_another_and_name_their_inputs():
    def block(x):
        first = layers.ReLU(name="b")(layers.Conv2D(8, 1, name="a")(x))
        second = layers.Conv2D(8, 1, name="d")(layers.MaxPooling2D(1, name="c")(x))
        return layers.Add(name="f")([layers.Concatenate(name="e")([first, second]), x])

    rows = describe_layers(network(lambda x: block(layers.Conv2D(16, 1, name="x")(x)), 8, 8, 3))
    assert "".join(row.layer for row in rows) == "xabcdef"
    assert [row.inputs for row in rows] == [(), (0,), (1,), (0,), (3,), (2, 4), (5, 0)]


def test_local_response_normalisation_is_one_row():
    def stem(x):
        for _ in range(2):
            x = local_response_norm(layers.ReLU()(layers.Conv2D(8, 1)(x)), size=3)
        return layers.Flatten()(x)

    rows = describe_layers(network(stem, 8, 8, 3))
    assert [row.what for row in rows[:3]] == ["Conv2D 1x1", "ReLU", "LRN over 3 channels"]
    assert [(row.layer, row.inputs, row.output) for row in rows[2::3]] == [
        ("lrn", (1,), (8, 8, 8)),
        ("lrn_1", (4,), (8, 8, 8)),
    ]
    assert rows[-1].inputs == (5,)


# By hand.


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(16, 3, padding="same"), 32 * 32 * 9 * 8 * 16),
        (layers.Conv2D(16, 3), 30 * 30 * 9 * 8 * 16),
        (layers.Conv2D(16, 3, strides=2, padding="same"), 16 * 16 * 9 * 8 * 16),
        (layers.Conv2D(16, 3, padding="same", groups=4), 32 * 32 * 9 * 2 * 16),
        (layers.Conv2D(16, 3, dilation_rate=2), 28 * 28 * 9 * 8 * 16),
        (layers.Conv2D(16, (1, 7), padding="same"), 32 * 32 * 7 * 8 * 16),
        (layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), 32 * 32 * 9 * 16),
        (layers.SeparableConv2D(16, 3, padding="same"), 32 * 32 * (9 * 8 + 8 * 16)),
        (layers.Dense(16), 32 * 32 * 8 * 16),
        (lambda x: ops.matmul(x, ops.ones((8, 16))), 32 * 32 * 8 * 16),
        (lambda x: ops.conv(x, ops.ones((3, 3, 8, 16)), padding="same"), 32 * 32 * 9 * 8 * 16),
        (layers.BatchNormalization(), 0),
        (layers.PReLU(), 0),
        (layers.MaxPooling2D(), 0),
        (layers.Conv2DTranspose(4, 3), None),
        (lambda x: ops.einsum("bhwc,bhwd->bcd", x, x), None),
    ],
)
def test_multiply_adds_of_one_layer(layer, expected):
    assert last(layer).multiply_adds == expected


@pytest.mark.parametrize(
    ("operations", "field", "stride"),
    [
        ([layers.Conv2D(4, 3), layers.Conv2D(4, 3)], (5, 5), (1, 1)),
        ([layers.MaxPooling2D(), layers.Conv2D(4, 3)], (6, 6), (2, 2)),
        ([layers.MaxPooling2D(3, 2), layers.AveragePooling2D(2)], (5, 5), (4, 4)),
        ([layers.Conv2D(4, 3, dilation_rate=4)], (9, 9), (1, 1)),
        ([layers.Conv2D(4, (1, 7)), layers.Conv2D(4, (3, 1))], (3, 7), (1, 1)),
        ([lambda x: x[:, ::2, ::2, :], layers.Conv2D(4, 3)], (5, 5), (2, 2)),
        ([lambda x: x[..., ::2, :, :], layers.Conv2D(4, 3)], (5, 3), (2, 1)),
        ([lambda x: ops.max_pool(x, 2), layers.Conv2D(4, 3)], (6, 6), (2, 2)),
        ([layers.MaxPooling2D(), layers.UpSampling2D(), layers.Conv2D(4, 3)], (4, 4), (1, 1)),
        ([layers.ZeroPadding2D(), layers.ReLU(), layers.Conv2D(4, 3)], (3, 3), (1, 1)),
        ([layers.AveragePooling2D(32), layers.Conv2D(4, 1)], (32, 32), (32, 32)),
        ([layers.Reshape((32 * 32, 8)), layers.Conv1D(4, 3)], None, None),
        ([layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1)], None, None),
    ],
)
def test_receptive_field_by_hand(operations, field, stride):
    row = last(*operations)
    assert (row.receptive_field, row.stride) == (field, stride)


def test_where_branches_meet_the_largest_field_goes_on():
    def gated(x):
        wide = layers.Conv2D(8, 5, padding="same")(x)
        gate = layers.Dense(8)(layers.GlobalAveragePooling2D(keepdims=True)(x))
        return layers.Conv2D(4, 3)(layers.Multiply()([layers.Add()([x, wide]), gate]))

    row = describe_layers(network(gated, 32, 32, 8))[-1]
    assert row.receptive_field == (7, 7)


def test_shared_layer_costs_twice_and_has_its_parameters_once():
    conv = layers.Conv2D(8, 3, padding="same")
    first, second = describe_layers(network(lambda x: conv(conv(x)), 32, 32, 8))
    assert first.multiply_adds == second.multiply_adds == 32 * 32 * 9 * 8 * 8
    assert (first.parameters, second.parameters) == (9 * 8 * 8 + 8, 0)
    assert (second.kind, second.receptive_field) == ("Conv2D (again)", (5, 5))


def test_layers_of_nested_models_are_counted_at_the_size_that_they_get():
    inner = network(layers.Conv2D(8, 3, padding="same", name="conv"), None, None, 3)
    inner.name = "inner"
    stack = keras.Sequential([layers.MaxPooling2D(name="pool"), inner], name="stack")
    rows = describe_layers(network(lambda x: stack(x[:, ::2]), 32, 32, 3))
    assert [row.layer for row in rows][1:] == ["stack/pool", "stack/inner/conv"]
    assert (rows[-1].output, rows[-1].multiply_adds) == ((8, 16, 8), 8 * 16 * 9 * 3 * 8)
    assert rows[-1].receptive_field == (11, 6)


def test_network_of_unknown_size_is_refused():
    with pytest.raises(ValueError, match="known size"):
        describe_layers(network(layers.Conv2D(8, 3), None, None, 3))


def test_auxiliary_heads_are_left_out():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    logits, auxiliary = (layers.Dense(10)(layers.Flatten()(x)) for _ in range(2))
    both = keras.Model(inputs, [logits, auxiliary])
    assert count_totals(drop_auxiliary_heads(both))["parameters"] == 3 * 9 * 4 + 4 + 144 * 10 + 10
    assert len(drop_auxiliary_heads(both).outputs) == 1


@pytest.mark.parametrize("option", ["mobilenet", "resnet20_v1", "cnn_cifar", "mlp_bn", "vgg16"])
def test_rows_add_up_to_the_network(spec, option):
    built = spec(f"model={option}").model((32, 32, 3), 10)
    rows, total = describe_layers(built), count_totals(built)
    assert sum(row.parameters for row in rows) == total["parameters"] == built.count_params()
    assert count_parameters(built) == {
        "total": total["parameters"],
        "trainable": total["trainable"],
    }
    assert all(math.prod(row.output) for row in rows)


def test_unfilled_network_is_the_same_network(spec):
    built = spec("model=mobilenet").model((224, 224, 3), 1000)
    assert count_totals(zoo.build_unfilled_network("mobilenet")) == count_totals(built)
