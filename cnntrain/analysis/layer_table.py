"""Tables of what each layer of a network costs: parameters, multiply-adds, receptive field.

They are read from the functional graph, call by call, without data and without values in the
weights. A layer that is called twice has two rows, and its parameters only in the first; the layers
of a nested model have rows of their own, as `outer/inner`.
"""

import math
from collections.abc import Sequence

import keras

from cnntrain.analysis.graph import GraphTensor, GraphWalk, LayerRow
from cnntrain.analysis.receptive_field import Axes, make_image_field


def describe_layers(network: keras.Model) -> list[LayerRow]:
    """Return a row for each layer that has parameters, multiplies, or moves the receptive field.

    Convolutions, dense layers and matrix products have multiply-adds; other layers have 0. Where
    branches meet, the largest receptive field counts. Raises ValueError for an input of unknown
    size.
    """
    inputs = [GraphTensor(tensor, make_image_field(tensor.shape[1:])) for tensor in network.inputs]
    if any(None in signal.shape for signal in inputs):
        raise ValueError(f"{network.name} takes {inputs[0].shape}: expected a known size")
    walk = GraphWalk()
    walk(network, inputs, "")
    return walk.rows


def count_totals(network: keras.Model) -> dict[str, int]:
    """Return the `parameters`, those `trainable`, and the `multiply_adds` of one image forward."""
    trainable = sum(math.prod(v.shape) for v in network.trainable_weights)
    return {
        "parameters": sum(math.prod(v.shape) for v in network.weights),
        "trainable": trainable,
        "multiply_adds": sum(row.multiply_adds or 0 for row in describe_layers(network)),
    }


def find_receptive_field(rows: Sequence[LayerRow]) -> Axes | None:
    """Return the largest receptive field of the rows in pixels along each axis, or None."""
    fields = [row.receptive_field for row in rows if row.receptive_field]
    return tuple(max(axis) for axis in zip(*fields, strict=False)) or None


def drop_auxiliary_heads(network: keras.Model) -> keras.Model:
    """Return the network without its auxiliary heads, which only training uses."""
    if len(network.outputs) == 1:
        return network
    return keras.Model(network.inputs, network.outputs[0], name=network.name)
