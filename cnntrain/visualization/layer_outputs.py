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

from cnntrain.analysis.graph import Signal, Walk, graph_of, nodes
from cnntrain.analysis.receptive_field import (
    CONVOLUTIONS,
    OPS_CONVOLUTIONS,
    Field,
    whole,
    window_of,
)

NORMS = (layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization)
# What changes no map, or only its edges.
UNSEEN = ("ZeroPadding2D", "Dropout", "SpatialDropout2D", "Identity", "Pad", "Cast")


@dataclass(frozen=True)
class Place:
    """A layer, or an operation, that puts out maps.

    `shape` is (h, w, channels), `field` what a position of them sees. `is_main`: all that reaches
    the logits passes here; `begins`: it looks through a window, or joins branches, and does not
    just change numbers one by one.
    """

    name: str
    operation: Any
    shape: tuple[int, int, int]
    field: Field
    is_main: bool
    begins: bool

    @property
    def kind(self) -> str:
        return type(self.operation).__name__

    @property
    def is_pool(self) -> bool:
        return "Pool" in self.kind


class Survey(Walk):
    """A walk that remembers every call: its name, the node, what went in and what came out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any, list[Signal], list[Signal]]] = []

    def visit(self, node: Any, sources: list[Signal], name: str) -> list[Signal]:
        made = super().visit(node, sources, name)
        self.calls.append((name, node, sources, made))
        return made


def places(network: keras.Model) -> list[Place]:
    """Return the places behind the first convolution, each behind those that it needs.

    A layer that is called twice is one place, its first; without a convolution there is none.
    """
    survey = Survey()
    survey(network, [Signal(x, whole(x.shape[1:])) for x in network.inputs], "")
    main = main_line([(sources, made) for _, _, sources, made in survey.calls])
    found: dict[str, Place] = {}
    for (name, node, sources, made), is_main in zip(survey.calls, main, strict=True):
        operation, shape, field = node.operation, made[0].shape, made[0].field
        behind = found or is_convolution(operation)
        if behind and len(shape) == 3 and shape[0] * shape[1] > 1 and field:
            own, begins = short(network, name), len(sources) > 1 or window_of(node) is not None
            found.setdefault(own, Place(own, operation, shape, field, is_main, begins))
    return [*found.values()]


def is_convolution(operation: Any) -> bool:
    return isinstance(operation, CONVOLUTIONS) or type(operation).__name__ in OPS_CONVOLUTIONS


def main_line(calls: Sequence[tuple[list[Signal], list[Signal]]]) -> list[bool]:
    """For each call, whether nothing made before it is used behind it."""
    last = {id(signal): n for n, (sources, _) in enumerate(calls) for signal in sources}
    reach, found = 0, []
    for number, (_, made) in enumerate(calls):
        found.append(reach <= number)
        reach = max(reach, *(last.get(id(signal), 0) for signal in made))
    return found


def short(network: keras.Model, name: str) -> str:
    """A name within what was built; the saved network has it behind the normalisation."""
    return name.removeprefix(f"{network.layers[-1].name}/")


def passed(network: keras.Model, images: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Return what every layer puts out for images (B, H, W, C), by its name, and the logits."""
    seen: dict[str, tf.Tensor] = {}
    logits = forward(network, [images], "", seen)[0]
    return {short(network, name): tensor for name, tensor in seen.items()}, logits


def forward(
    network: Any, inputs: Sequence[tf.Tensor], prefix: str, seen: dict[str, tf.Tensor]
) -> list[tf.Tensor]:
    """Call a network's layers one by one, in inference, and remember what each puts out."""
    graph = graph_of(network)
    known = {id(ref): tensor for ref, tensor in zip(graph.inputs, inputs, strict=True)}
    for node in nodes(graph):
        operation, name = node.operation, f"{prefix}{node.operation.name}"
        if graph_of(operation) is not None:
            sources = [known[id(ref)] for ref in node.input_tensors]
            made = forward(operation, sources, f"{name}/", seen)
        else:
            arguments, keywords = node.arguments.fill_in(known)
            made = keras.tree.flatten(operation(*arguments, **keywords))
            seen.setdefault(name, made[0])
        known |= {id(ref): tensor for ref, tensor in zip(node.outputs, made, strict=True)}
    return [known[id(ref)] for ref in graph.outputs]


def blocks(found: Sequence[Place]) -> list[list[Place]]:
    """The main line in pieces: a convolution, a pool or a sum, with what changes its numbers.

    All places where the network has no such line.
    """
    shown = [place for place in found if place.kind not in UNSEEN]
    pieces: list[list[Place]] = []
    for place in [place for place in shown if place.is_main] or shown:
        if place.begins or not pieces:
            pieces.append([])
        pieces[-1].append(place)
    return pieces


def stages(found: Sequence[Place], count: int) -> list[Place]:
    """Return at most `count` ends of blocks: the last of each size of maps, and some between."""
    sizes: dict[tuple[int, int], list[Place]] = {}
    pieces = blocks(found)
    for block in pieces if len(pieces) <= count else without_pools(pieces):
        sizes.setdefault(block[-1].shape[:2], []).append(block[-1])
    stages = [*sizes.values()][-count:]
    return [stage[n] for stage in stages for n in spread(len(stage), count // len(stages))]


def spread(length: int, count: int) -> list[int]:
    """At most `count` numbers below `length`, evenly, with the last."""
    return sorted({round((n + 1) * length / count) - 1 for n in range(count)} - {-1})


def without_pools(pieces: list[list[Place]]) -> list[list[Place]]:
    """The blocks whose maps are not just coarser ones of the block before."""
    return [block for block in pieces if not block[0].is_pool] or pieces


def last_maps(found: Sequence[Place]) -> Place:
    """The end of the last block, before a pool that makes its maps coarser."""
    return without_pools(blocks(found))[-1][-1]


def middle(found: Sequence[Place], image_shape: tuple[int, ...]) -> Place:
    """The last block of whose positions each sees half of the image at most, or the first block.

    Before the activation, which may give many positions its highest value.
    """
    half = min(image_shape[:2]) / 2
    answers = [
        [place for place in block if place.begins or isinstance(place.operation, NORMS)][-1]
        for block in without_pools(blocks(found))
        if block[0].begins
    ]
    return next((p for p in reversed(answers) if max(p.field.size) <= half), answers[0])


def first_convolution(found: Sequence[Place]) -> Place | None:
    """The first convolution, if its kernels can be seen as images."""
    place = next((p for p in found if isinstance(p.operation, layers.Conv2D)), None)
    return place if place and np.shape(place.operation.kernel)[2] in (1, 3) else None
