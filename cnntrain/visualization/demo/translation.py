"""The graph of a Keras network, written as a program."""

from collections.abc import Sequence
from typing import Any

import keras

from cnntrain.models.parts.keras_private import get_graph, iterate_nodes
from cnntrain.visualization.demo.array_steps import ARRAY_WRITERS
from cnntrain.visualization.demo.calls import Writer, refuse_call
from cnntrain.visualization.demo.layer_steps import LAYER_WRITERS
from cnntrain.visualization.demo.program import ArrayRef, Program

# By the names of classes, because operations of keras.ops have no public ones. A layer and an
# operation of one name do the same.
WRITERS: dict[str, Writer] = LAYER_WRITERS | ARRAY_WRITERS


class Translation:
    """The program of a network, and which of its arrays a layer or a named output has become.

    The first call of a layer counts. Raises SpecError for a layer that a page cannot compute.
    """

    def __init__(self, network: keras.Model) -> None:
        self.program = Program(tuple(network.input_shape[1:]))
        self.layer_arrays: dict[int, ArrayRef] = {}  # by the id of the layer
        results = self.write_network(network, [self.program.image])
        arrays = {id(t): ref for t, ref in zip(get_graph(network).outputs, results, strict=True)}
        self.outputs = {name: arrays[id(tensor)] for name, tensor in network.output.items()}

    def write_network(self, network: Any, inputs: Sequence[ArrayRef]) -> list[ArrayRef]:
        """Write the steps of a network that is called on `inputs`; return its outputs."""
        graph = get_graph(network)
        refs = {id(tensor): ref for tensor, ref in zip(graph.inputs, inputs, strict=True)}
        for node in iterate_nodes(graph):
            sources = [refs[id(tensor)] for tensor in node.input_tensors]
            if get_graph(node.operation) is not None:
                results = self.write_network(node.operation, sources)
            else:
                results = write_call(self.program, node, sources)
                self.layer_arrays.setdefault(id(node.operation), results[0])
            refs |= {id(t): ref for t, ref in zip(node.outputs, results, strict=True)}
        return [refs[id(tensor)] for tensor in graph.outputs]


def write_call(program: Program, node: Any, inputs: list[ArrayRef]) -> list[ArrayRef]:
    """Write the steps of one call of a layer or operation; return its outputs.

    Raises SpecError for a kind, or a setting, that the page cannot compute.
    """
    writer = WRITERS.get(type(node.operation).__name__)
    if writer is None or getattr(node.operation, "data_format", None) == "channels_first":
        raise refuse_call(node)
    outputs = writer(program, node, inputs)
    return outputs if isinstance(outputs, list) else [outputs]
