"""Connections against counts by hand; those of LeNet-5 are in tests/models."""

import keras
import pytest
from keras import layers

from cnntrain.analysis.connections import count_connections
from cnntrain.analysis.zoo import build_unfilled_network
from cnntrain.cli.list import main


def test_units_are_connected_to_what_they_read_and_to_their_bias():
    network = build_unfilled_network("lenet5")
    assert list(count_connections(network).values()) == [
        24 * 24 * 6 * (25 + 1),
        12 * 12 * 6 * 4,
        8 * 8 * 16 * (25 * 6 + 1),
        4 * 4 * 16 * 4,
        120 * (256 + 1),
        84 * (120 + 1),
        10 * (84 + 1),
    ]


def test_layer_that_is_called_twice_is_connected_twice():
    inputs = keras.Input((4,))
    dense = layers.Dense(4, use_bias=False, name="dense")
    assert count_connections(keras.Model(inputs, dense(dense(inputs)))) == {"dense": 2 * 16}


@pytest.mark.parametrize(("option", "shown"), [("lenet5_1998", True), ("alexnet_bn", False)])
def test_list_shows_the_connections_of_networks_of_few_layers(option, shown, capsys):
    main(["model", option])
    line = "340,908 connections: c1 122,304, s2 5,880, c3 151,600, s4 2,000, c5 48,120, f6 10,164"
    assert (line in " ".join(capsys.readouterr().out.split())) == shown
