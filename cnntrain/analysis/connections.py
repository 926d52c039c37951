"""The connections of a network, as LeCun et al. (1998) count them for LeNet-5."""

import math
from collections import Counter
from typing import Any

import keras
from keras import layers

from cnntrain.analysis.graph import GraphTensor, GraphWalk, count_multiply_adds
from cnntrain.analysis.receptive_field import CONVOLUTIONS, POOLS, make_image_field


def count_connections(network: keras.Model) -> dict[str, int]:
    """Return the connections of each layer that has any, by its name.

    A unit of a convolution, a dense layer or a pool has one to every value that it reads, and one
    to its bias. Parts of a layer count with it: `c3_0` and `c3_1` with `c3`, which joins them.
    """
    walk = ConnectionWalk()
    walk(network, [GraphTensor(x, make_image_field(x.shape[1:])) for x in network.inputs], "")
    counts = Counter[str]()
    for name, number in walk.connections.items():
        whole = name.rpartition("_")[0]
        is_part = walk.kinds.get(whole, walk.kinds[name]) is not walk.kinds[name]
        counts[whole if is_part else name] += number
    return +counts


class ConnectionWalk(GraphWalk):
    """A walk through a graph that also counts the connections of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = Counter[str]()  # by the name of the layer
        self.kinds: dict[str, type] = {}

    def visit_node(self, node: Any, sources: list[GraphTensor], name: str) -> list[GraphTensor]:
        """Count the connections of one call of a layer or operation; return its outputs."""
        outputs = super().visit_node(node, sources, name)
        self.kinds[name] = type(node.operation)
        self.connections[name] += count_call(node, outputs)
        return outputs


def count_call(node: Any, outputs: list[GraphTensor]) -> int:
    """Return the connections of the units of one call.

    A 1x1 depthwise convolution weights what its units have already read, and adds their biases.
    """
    operation, units = node.operation, math.prod(outputs[0].shape)
    if isinstance(operation, POOLS):
        return units * math.prod(operation.pool_size)
    if not isinstance(operation, (*CONVOLUTIONS, layers.Dense)):
        return 0
    weights_only = isinstance(operation, layers.DepthwiseConv2D) and operation.kernel_size == (1, 1)
    inputs = 0 if weights_only else count_multiply_adds(node, outputs) or 0
    return inputs + (units if operation.use_bias else 0)
