"""The first networks of every course, layer by layer."""

import pytest

from helpers.layers import build_paper_network, describe_layers, read_table

# The tables of courses, whose sources have batch normalisation where it stands here.
MLP_BN = """
flatten             784
batch norm          784
dense               300
relu                300
batch norm          300
dense               100
relu                100
batch norm          100
dense               10
"""
MLP_BN_BEFORE = """
flatten             784
batch norm          784
dense               300
batch norm          300
relu                300
dense               100
batch norm          100
relu                100
dense               10
"""
CNN_MNIST = """
conv 3x3            28x28x32
relu                28x28x32
max pool 2x2/2      14x14x32
conv 3x3            14x14x64
relu                14x14x64
max pool 2x2/2      7x7x64
flatten             3136
dense               64
relu                64
dense               10
"""
CNN_MNIST_BEFORE = """
conv 3x3            28x28x32
batch norm          28x28x32
relu                28x28x32
max pool 2x2/2      14x14x32
conv 3x3            14x14x64
batch norm          14x14x64
relu                14x14x64
max pool 2x2/2      7x7x64
flatten             3136
dense               64
relu                64
dense               10
"""
CNN_MNIST_AFTER = """
conv 3x3            28x28x32
relu                28x28x32
max pool 2x2/2      14x14x32
batch norm          14x14x32
conv 3x3            14x14x64
relu                14x14x64
max pool 2x2/2      7x7x64
batch norm          7x7x64
flatten             3136
dense               64
relu                64
dense               10
"""
CNN_MNIST_VALID = """
conv 3x3            26x26x32
relu                26x26x32
max pool 2x2/2      13x13x32
conv 3x3            11x11x64
relu                11x11x64
max pool 2x2/2      5x5x64
conv 3x3            3x3x64
relu                3x3x64
flatten             576
dense               64
relu                64
dense               10
"""
CNN_CIFAR = """
conv 3x3            32x32x16
relu                32x32x16
max pool 2x2/2      16x16x16
conv 3x3            16x16x32
relu                16x16x32
max pool 2x2/2      8x8x32
conv 3x3            8x8x64
relu                8x8x64
max pool 2x2/2      4x4x64
dropout 0.3         4x4x64
flatten             1024
dense               500
relu                500
dropout 0.4         500
dense               10
"""
CNN_CATS_DOGS = """
conv 3x3            148x148x32
relu                148x148x32
max pool 2x2/2      74x74x32
conv 3x3            72x72x64
relu                72x72x64
max pool 2x2/2      36x36x64
conv 3x3            34x34x128
relu                34x34x128
max pool 2x2/2      17x17x128
conv 3x3            15x15x128
relu                15x15x128
max pool 2x2/2      7x7x128
dropout 0.5         7x7x128
flatten             6272
dense               512
relu                512
dense               1
"""
LENET5 = """
conv 5x5            24x24x6
relu                24x24x6
max pool 2x2/2      12x12x6
conv 5x5            8x8x16
relu                8x8x16
max pool 2x2/2      4x4x16
flatten             256
dense               120
relu                120
dense               84
relu                84
dense               10
"""
NORMED = "model.batch_norm=true"


@pytest.mark.parametrize(
    ("option", "overrides", "table"),
    [
        ("mlp_bn", [], MLP_BN),
        ("mlp_bn", ["model.norm_position=before"], MLP_BN_BEFORE),
        ("cnn_mnist", [], CNN_MNIST),
        ("cnn_mnist", [NORMED], CNN_MNIST_BEFORE),
        ("cnn_mnist", [NORMED, "model.norm_position=after"], CNN_MNIST_AFTER),
        ("cnn_mnist_valid", [], CNN_MNIST_VALID),
        ("cnn_cifar", [], CNN_CIFAR),
        ("cnn_cats_dogs", [], CNN_CATS_DOGS),
        ("lenet5", [], LENET5),
    ],
)
def test_layers_are_those_of_the_table_in_its_order(option, overrides, table):
    assert describe_layers(build_paper_network(option, overrides)) == read_table(table)
