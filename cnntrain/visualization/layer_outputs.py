"""The inside of a network: what each layer puts out for images, and which carry the picture on.

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
# What changes no map, or only its edges.
HIDDEN_KINDS = ("ZeroPadding2D", "Dropout", "SpatialDropout2D", "Identity", "Pad", "Cast")


@dataclass(frozen=True)
class LayerOutput:
    """A layer, or an operation, that puts out maps.

    `shape` is (h, w, channels), `field` what a position of them sees. `is_main`: all that reaches
    the logits passes here; `begins`: it looks through a window, or joins branches, and does not
    just change numbers one by one.
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
    """A walk that remembers every call: its name, the node, what went in and what came out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any, list[GraphTensor], list[GraphTensor]]] = []

    def visit_node(self, node: Any, sources: list[GraphTensor], name: str) -> list[GraphTensor]:
        made = super().visit_node(node, sources, name)
        self.calls.append((name, node, sources, made))
        return made


def list_layer_outputs(network: keras.Model) -> list[LayerOutput]:
    """Return the places behind the first convolution, each behind those that it needs.

    A layer that is called twice is one place, its first; without a convolution there is none.
    """
    survey = CallRecorder()
    survey(network, [GraphTensor(x, make_image_field(x.shape[1:])) for x in network.inputs], "")
    main = mark_main_line([(sources, made) for _, _, sources, made in survey.calls])
    found: dict[str, LayerOutput] = {}
    for (name, node, sources, made), is_main in zip(survey.calls, main, strict=True):
        operation, shape, field = node.operation, made[0].shape, made[0].field
        behind = found or is_convolution(operation)
        if behind and len(shape) == 3 and shape[0] * shape[1] > 1 and field:
            own, begins = (
                strip_network_prefix(network, name),
                len(sources) > 1 or find_window(node) is not None,
            )
            found.setdefault(own, LayerOutput(own, operation, shape, field, is_main, begins))
    return [*found.values()]


def is_convolution(operation: Any) -> bool:
    return isinstance(operation, CONVOLUTIONS) or type(operation).__name__ in OPS_CONVOLUTIONS


def mark_main_line(calls: Sequence[tuple[list[GraphTensor], list[GraphTensor]]]) -> list[bool]:
    """For each call, whether nothing made before it is used behind it."""
    last = {id(signal): n for n, (sources, _) in enumerate(calls) for signal in sources}
    reach, found = 0, []
    for number, (_, made) in enumerate(calls):
        found.append(reach <= number)
        reach = max(reach, *(last.get(id(signal), 0) for signal in made))
    return found


def strip_network_prefix(network: keras.Model, name: str) -> str:
    """A name within what was built; the saved network has it behind the normalisation."""
    return name.removeprefix(f"{network.layers[-1].name}/")


def compute_layer_outputs(
    network: keras.Model, images: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Return what every layer puts out for images (B, H, W, C), by its name, and the logits."""
    seen: dict[str, tf.Tensor] = {}
    logits = call_layers(network, [images], "", seen)[0]
    return {strip_network_prefix(network, name): tensor for name, tensor in seen.items()}, logits


def call_layers(
    network: Any, inputs: Sequence[tf.Tensor], prefix: str, seen: dict[str, tf.Tensor]
) -> list[tf.Tensor]:
    """Call a network's layers one by one, in inference, and remember what each puts out."""
    graph = get_graph(network)
    known = {id(ref): tensor for ref, tensor in zip(graph.inputs, inputs, strict=True)}
    for node in iterate_nodes(graph):
        operation, name = node.operation, f"{prefix}{node.operation.name}"
        if get_graph(operation) is not None:
            sources = [known[id(ref)] for ref in node.input_tensors]
            made = call_layers(operation, sources, f"{name}/", seen)
        else:
            arguments, keywords = node.arguments.fill_in(known)
            made = keras.tree.flatten(operation(*arguments, **keywords))
            seen.setdefault(name, made[0])
        known |= {id(ref): tensor for ref, tensor in zip(node.outputs, made, strict=True)}
    return [known[id(ref)] for ref in graph.outputs]


def group_into_blocks(found: Sequence[LayerOutput]) -> list[list[LayerOutput]]:
    """The main line in pieces: a convolution, a pool or a sum, with what changes its numbers.

    All places where the network has no such line.
    """
    shown = [place for place in found if place.kind not in HIDDEN_KINDS]
    pieces: list[list[LayerOutput]] = []
    for place in [place for place in shown if place.is_main] or shown:
        if place.begins_block or not pieces:
            pieces.append([])
        pieces[-1].append(place)
    return pieces


def select_stages(found: Sequence[LayerOutput], count: int) -> list[LayerOutput]:
    """Return at most `count` ends of blocks: the last of each size of maps, and some between."""
    sizes: dict[tuple[int, int], list[LayerOutput]] = {}
    pieces = group_into_blocks(found)
    for block in pieces if len(pieces) <= count else drop_pool_blocks(pieces):
        sizes.setdefault(block[-1].shape[:2], []).append(block[-1])
    stages = [*sizes.values()][-count:]
    return [
        stage[n] for stage in stages for n in pick_spread_indices(len(stage), count // len(stages))
    ]


def pick_spread_indices(length: int, count: int) -> list[int]:
    """At most `count` numbers below `length`, evenly, with the last."""
    return sorted({round((n + 1) * length / count) - 1 for n in range(count)} - {-1})


def drop_pool_blocks(pieces: list[list[LayerOutput]]) -> list[list[LayerOutput]]:
    """The blocks whose maps are not just coarser ones of the block before."""
    return [block for block in pieces if not block[0].is_pool] or pieces


def find_last_feature_maps(found: Sequence[LayerOutput]) -> LayerOutput:
    """The end of the last block, before a pool that makes its maps coarser."""
    return drop_pool_blocks(group_into_blocks(found))[-1][-1]


def find_middle_output(found: Sequence[LayerOutput], image_shape: tuple[int, ...]) -> LayerOutput:
    """The last block of whose positions each sees half of the image at most, or the first block.

    Before the activation, which may give many positions its highest value.
    """
    half = min(image_shape[:2]) / 2
    answers = [
        [
            place
            for place in block
            if place.begins_block or isinstance(place.operation, NORMALISATIONS)
        ][-1]
        for block in drop_pool_blocks(group_into_blocks(found))
        if block[0].begins_block
    ]
    return next((p for p in reversed(answers) if max(p.field.size) <= half), answers[0])


def find_first_convolution(found: Sequence[LayerOutput]) -> LayerOutput | None:
    """The first convolution, if its kernels can be seen as images."""
    place = next((p for p in found if isinstance(p.operation, layers.Conv2D)), None)
    return place if place and np.shape(place.operation.kernel)[2] in (1, 3) else None
