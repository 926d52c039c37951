"""The first networks of every course: perceptrons, small convnets, LeNet-5, CIFAR ResNets."""

import pytest

from cnntrain.errors import SpecError
from helpers.layers import describe_layers, read_table

COUNTS = {
    ("mlp_300_100", (28, 28, 1), 10, ()): (266_610, 266_610),
    ("mlp_300_100", (28, 28, 1), 2, ()): (265_802, 265_802),
    ("mlp_256_128", (28, 28, 1), 10, ()): (235_146, 235_146),
    ("mlp_512_512", (28, 28, 1), 10, ()): (669_706, 669_706),
    ("mlp_bn", (28, 28, 1), 10, ()): (271_346, 268_978),
    ("cnn_mnist", (28, 28, 1), 10, ()): (220_234, 220_234),
    ("cnn_mnist_valid", (28, 28, 1), 10, ()): (93_322, 93_322),
    # 320 + 18,496 + 36,928 of the convolutions; 22 * 22 * 64 = 30,976 for each unit, and its bias
    ("cnn_valid_no_pool", (28, 28, 1), 2, ()): (86_721, 86_721),
    ("cnn_valid_no_pool", (28, 28, 1), 10, ()): (365_514, 365_514),
    # each dense layer behind a normalisation, as without it: SELU has no weights
    ("mlp_300_100", (28, 28, 1), 10, ("model.activation=selu",)): (266_610, 266_610),
    ("cnn_cifar", (32, 32, 3), 10, ()): (541_094, 541_094),
    ("cnn_cats_dogs", (150, 150, 3), 2, ()): (3_453_121, 3_453_121),
    ("lenet5", (28, 28, 1), 10, ()): (44_426, 44_426),
    ("lenet5", (32, 32, 1), 10, ()): (61_706, 61_706),
    ("resnet20_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 269_722),
    ("resnet20_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 272_474),
    ("resnet32_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 464_154),
    ("resnet32_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 466_906),
    ("resnet44_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 658_586),
    ("resnet44_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 661_338),
    ("resnet56_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 853_018),
    ("resnet56_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 855_770),
    ("resnet110_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 1_727_962),
    ("resnet110_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 1_730_714),
}
SMALLEST = {"cnn_cats_dogs": 46}


def test_one_logit_is_for_two_classes_only(spec):
    model = spec("model=cnn_cifar", "model.one_logit=true").model
    assert model((32, 32, 3), 2).output_shape == (None, 1)
    assert model((32, 32, 3), 3).output_shape == (None, 3)


def test_net_without_pools_keeps_22x22_maps(spec):
    model = spec("model=cnn_valid_no_pool").model((28, 28, 1), 2)
    assert describe_layers(model) == read_table("""
        conv 3x3 26x26x32
        relu 26x26x32
        conv 3x3 24x24x64
        relu 24x24x64
        conv 3x3 22x22x64
        relu 22x22x64
        flatten 30976
        dense 1
    """)
    assert model.layers[-1].count_params() == 30_977


def test_too_small_images_are_refused_also_without_pools(spec):
    spec("model=cnn_valid_no_pool").model((7, 7, 1), 10)
    with pytest.raises(SpecError, match="6x9") as refused:
        spec("model=cnn_valid_no_pool").model((6, 9, 1), 10)
    assert refused.value.hint == "dataset.image_size=[7,7] or fewer model.filters"


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu", "gelu", "selu"])
@pytest.mark.parametrize(
    ("option", "count"), [("mlp_256_128", 2), ("cnn_mnist", 3), ("cnn_relu", 3)]
)
def test_activation_takes_the_place_of_every_relu(spec, option, count, activation):
    model = spec(f"model={option}").model((28, 28, 1), 10)
    other = spec(f"model={option}", f"model.activation={activation}").model((28, 28, 1), 10)
    rows = describe_layers(model)
    assert sum(row.startswith("relu") for row in rows) == count
    assert describe_layers(other) == [row.replace("relu", activation) for row in rows]
