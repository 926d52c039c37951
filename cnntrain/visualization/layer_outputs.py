"""The outputs of a network's layers, and the choice of layers to show.

Layers have the names that the run's page and `cnntrain list model` give them, `outer/inner` within
a nested model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from cnntrain.analysis.graph import GraphTensor, GraphWalk
from cnntrain.analysis.receptive_field import (
    CONVOLUTIONS,
    OPS_CONVOLUTIONS,
    ReceptiveField,
    find_window,
    make_image_field,
)
from cnntrain.models.parts.keras_private import get_graph, iterate_nodes

NORMALISATIONS = (layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization)
# Kinds of layers that do not change feature maps, or only their edges.
HIDDEN_KINDS = ("ZeroPadding2D", "Dropout", "SpatialDropout2D", "Identity", "Pad", "Cast")


@dataclass(frozen=True)
class LayerOutput:
    """A layer, or an operation, that puts out feature maps.

    `shape` is (h, w, channels) and `field` is the receptive field of a position. If `is_main`,
    everything that reaches the logits passes through it. If `begins_block`, it looks through a
    window or joins branches, and does not just change numbers one by one.
    """

    name: str
    operation: Any
    shape: tuple[int, int, int]
    field: ReceptiveField
    is_main: bool
    begins_block: bool

    @property
    def kind(self) -> str:
        return type(self.operation).__name__

    @property
    def is_pool(self) -> bool:
        return "Pool" in self.kind


class CallRecorder(GraphWalk):
    """A walk that records of every call its name, node, inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any, list[GraphTensor], list[GraphTensor]]] = []

    def visit_node(self, node: Any, sources: list[GraphTensor], name: str) -> list[GraphTensor]:
        outputs = super().visit_node(node, sources, name)
        self.calls.append((name, node, sources, outputs))
        return outputs


def list_layer_outputs(network: keras.Model) -> list[LayerOutput]:
    """Return the outputs with more than one position, from the first convolution on.

    They are sorted so that each follows those that it needs. A layer that is called twice has one
    output, that of its first call. A network without a convolution has none.
    """
    recorder = CallRecorder()
    recorder(network, [GraphTensor(x, make_image_field(x.shape[1:])) for x in network.inputs], "")
    main = mark_main_line([(sources, results) for _, _, sources, results in recorder.calls])
    outputs: dict[str, LayerOutput] = {}
    for (name, node, sources, results), is_main in zip(recorder.calls, main, strict=True):
        operation, shape, field = node.operation, results[0].shape, results[0].field
        has_begun = outputs or is_convolution(operation)
        if has_begun and len(shape) == 3 and shape[0] * shape[1] > 1 and field:
            own = strip_network_prefix(network, name)
            begins_block = len(sources) > 1 or find_window(node) is not None
            output = LayerOutput(own, operation, shape, field, is_main, begins_block)
            outputs.setdefault(own, output)
    return [*outputs.values()]


def is_convolution(operation: Any) -> bool:
    """Return whether a layer, or an operation of keras.ops, is a convolution."""
    return isinstance(operation, CONVOLUTIONS) or type(operation).__name__ in OPS_CONVOLUTIONS


def mark_main_line(calls: Sequence[tuple[list[GraphTensor], list[GraphTensor]]]) -> list[bool]:
    """Return for each call whether no call after it needs a tensor from before it.

    `calls` are the inputs and outputs of each call, in order.
    """
    last_use = {id(tensor): n for n, (inputs, _) in enumerate(calls) for tensor in inputs}
    reach, is_main = 0, []
    for number, (_, outputs) in enumerate(calls):
        is_main.append(reach <= number)
        reach = max(reach, *(last_use.get(id(tensor), 0) for tensor in outputs))
    return is_main


def strip_network_prefix(network: keras.Model, name: str) -> str:
    """Return the name of a layer without the name of the model that holds it.

    A saved network is a normalisation, followed by the model that was built as one layer.
    """
    return name.removeprefix(f"{network.layers[-1].name}/")


def compute_layer_outputs(
    network: keras.Model, images: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Return the output of every layer for images (B, H, W, C), by its name, and the logits."""
    outputs: dict[str, tf.Tensor] = {}
    logits = call_layers(network, [images], "", outputs)[0]
    return {strip_network_prefix(network, name): tensor for name, tensor in outputs.items()}, logits


def call_layers(
    network: Any, inputs: Sequence[tf.Tensor], prefix: str, outputs: dict[str, tf.Tensor]
) -> list[tf.Tensor]:
    """Call a network's layers one by one, in inference mode, and return the network's results.

    The output of each layer's first call is added to `outputs` under `prefix` and its name.
    """
    graph = get_graph(network)
    tensors = {id(ref): tensor for ref, tensor in zip(graph.inputs, inputs, strict=True)}
    for node in iterate_nodes(graph):
        operation, name = node.operation, f"{prefix}{node.operation.name}"
        if get_graph(operation) is not None:
            sources = [tensors[id(ref)] for ref in node.input_tensors]
            results = call_layers(operation, sources, f"{name}/", outputs)
        else:
            arguments, keywords = node.arguments.fill_in(tensors)
            results = keras.tree.flatten(operation(*arguments, **keywords))
            outputs.setdefault(name, results[0])
        tensors |= {id(ref): tensor for ref, tensor in zip(node.outputs, results, strict=True)}
    return [tensors[id(ref)] for ref in graph.outputs]


def group_into_blocks(outputs: Sequence[LayerOutput]) -> list[list[LayerOutput]]:
    """Return the main line as blocks: a convolution, a pool or a sum, and what changes its numbers.

    A network without a main line is divided into blocks as a whole.
    """
    shown = [output for output in outputs if output.kind not in HIDDEN_KINDS]
    blocks: list[list[LayerOutput]] = []
    for output in [output for output in shown if output.is_main] or shown:
        if output.begins_block or not blocks:
            blocks.append([])
        blocks[-1].append(output)
    return blocks


def select_stages(outputs: Sequence[LayerOutput], count: int) -> list[LayerOutput]:
    """Return at most `count` ends of blocks: the last one of each map size, and some between."""
    sizes: dict[tuple[int, int], list[LayerOutput]] = {}
    blocks = group_into_blocks(outputs)
    for block in blocks if len(blocks) <= count else drop_pool_blocks(blocks):
        sizes.setdefault(block[-1].shape[:2], []).append(block[-1])
    stages = [*sizes.values()][-count:]
    return [
        stage[n] for stage in stages for n in pick_spread_indices(len(stage), count // len(stages))
    ]


def pick_spread_indices(length: int, count: int) -> list[int]:
    """Return at most `count` numbers below `length`, evenly spread, the last one included."""
    return sorted({round((n + 1) * length / count) - 1 for n in range(count)} - {-1})


def drop_pool_blocks(blocks: list[list[LayerOutput]]) -> list[list[LayerOutput]]:
    """Return the blocks that do not begin with a pool; all of them if every block does."""
    return [block for block in blocks if not block[0].is_pool] or blocks


def find_last_feature_maps(outputs: Sequence[LayerOutput]) -> LayerOutput:
    """Return the end of the last block that is not a pool, which would only make maps coarser."""
    return drop_pool_blocks(group_into_blocks(outputs))[-1][-1]


def find_middle_output(outputs: Sequence[LayerOutput], image_shape: tuple[int, ...]) -> LayerOutput:
    """Return the last output whose positions see at most half of the image, or else the first.

    It is an output before an activation, which may give many positions its highest value.
    """
    half = min(image_shape[:2]) / 2
    candidates = [
        [
            output
            for output in block
            if output.begins_block or isinstance(output.operation, NORMALISATIONS)
        ][-1]
        for block in drop_pool_blocks(group_into_blocks(outputs))
        if block[0].begins_block
    ]
    return next((o for o in reversed(candidates) if max(o.field.size) <= half), candidates[0])


def find_first_convolution(outputs: Sequence[LayerOutput]) -> LayerOutput | None:
    """Return the first convolution, or None if its kernels have not 1 or 3 channels to show."""
    output = next((o for o in outputs if isinstance(o.operation, layers.Conv2D)), None)
    return output if output and np.shape(output.operation.kernel)[2] in (1, 3) else None
