"""A walk over the functional graph of a network, call by call, without data and without values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from cnntrain.analysis.receptive_field import (
    CONVOLUTIONS,
    OPS_CONVOLUTIONS,
    Axes,
    ReceptiveField,
    Shape,
    SlidingWindow,
    compute_front_padding,
    find_window,
    get_argument,
    list_kernel_shapes,
    merge_fields,
    shift_field,
)
from cnntrain.models.parts.keras_private import get_graph, iterate_nodes

# Layers whose weights of several axes are no matrices: one multiplication a number at most.
ELEMENTWISE = (layers.PReLU, layers.LayerNormalization, layers.Embedding)
UNCOUNTED = (
    *("Einsum", "Dot", "Tensordot", "Inner", "Outer", "Vdot", "ConvTranspose"),
    *("DotProductAttention", "Attention", "AdditiveAttention"),
)


@dataclass(frozen=True)
class LayerRow:
    """A layer, or one call of it."""

    layer: str
    kind: str
    window: str | None  # 3x3/2: kernel and stride, of convolutions and pools
    output: Shape
    parameters: int
    multiply_adds: int | None  # for one image; None: not counted
    receptive_field: Axes | None  # of convolutions and pools: pixels of the image, each axis
    stride: Axes | None


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of the graph, of known size, and what each position of it sees of the image."""

    tensor: keras.KerasTensor
    field: ReceptiveField | None  # None where there are no positions any more

    @property
    def shape(self) -> Shape:
        """Without the batch."""
        return tuple(self.tensor.shape[1:])


class GraphWalk:
    """A walk through a graph, and through the graphs within it, that leaves rows behind."""

    def __init__(self) -> None:
        self.rows: list[LayerRow] = []
        self.counted: set[int] = set()  # variables that a row has already

    def __call__(
        self, network: Any, inputs: Sequence[GraphTensor], prefix: str
    ) -> list[GraphTensor]:
        """Visit a network on these inputs; return what comes out."""
        graph = get_graph(network)
        known = {id(ref): signal for ref, signal in zip(graph.inputs, inputs, strict=True)}
        for node in iterate_nodes(graph):
            operation, sources = node.operation, [known[id(x)] for x in node.input_tensors]
            if get_graph(operation) is not None:
                # Keras flattens the inputs of a model in the order of its own.
                made = self(operation, sources, f"{prefix}{operation.name}/")
            else:
                made = self.visit_node(node, sources, f"{prefix}{operation.name}")
            known |= {id(ref): signal for ref, signal in zip(node.outputs, made, strict=True)}
        return [known[id(ref)] for ref in graph.outputs]

    def visit_node(self, node: Any, sources: list[GraphTensor], name: str) -> list[GraphTensor]:
        """One call of one layer or operation."""
        tensors = compute_outputs(node, sources)
        window = find_window(node)
        field = merge_fields([source.field for source in sources])
        if window:
            padding = compute_front_padding(node, window, sources[0].shape)
            made = [GraphTensor(tensor, window(field, padding)) for tensor in tensors]
        else:
            field = shift_field(field, node.operation)
            made = [GraphTensor(t, field if has_positions(t, sources) else None) for t in tensors]
        new = {id(v): math.prod(v.shape) for v in getattr(node.operation, "weights", [])}
        parameters = sum(size for key, size in new.items() if key not in self.counted)
        cost = count_multiply_adds(node, made)
        kind = type(node.operation).__name__
        if window or new or cost != 0 or "Pooling" in kind:
            seen = made[0].field if window else None
            self.rows.append(
                LayerRow(
                    layer=name,
                    kind=kind if parameters or not new else f"{kind} (again)",
                    window=describe_window(window, node.operation) if window else None,
                    output=made[0].shape,
                    parameters=parameters,
                    multiply_adds=cost,
                    receptive_field=seen.size if seen else None,
                    stride=seen.stride if seen else None,
                )
            )
        self.counted |= set(new)
        return made


def compute_outputs(node: Any, sources: list[GraphTensor]) -> list[keras.KerasTensor]:
    """What a call puts out; computed where the graph was drawn for images of any size."""
    if not any(None in tensor.shape[1:] for tensor in node.outputs):
        return node.outputs
    pairs = zip(node.input_tensors, sources, strict=True)
    given = {id(ref): signal.tensor for ref, signal in pairs}
    arguments, keywords = node.arguments.fill_in(given)
    return keras.tree.flatten(node.operation.compute_output_spec(*arguments, **keywords))


def has_positions(tensor: keras.KerasTensor, sources: list[GraphTensor]) -> bool:
    """Whether there are still positions in what came of these: not behind a global pool."""
    spatial = tuple(tensor.shape[1:-1])
    if math.prod(spatial) > 1:
        return True
    return bool(spatial) and any(math.prod(s.shape[:-1]) == 1 and s.field for s in sources)


def describe_window(seen: SlidingWindow, operation: Any) -> str:
    groups = getattr(operation, "groups", 1)
    return f"{seen} in {groups} groups" if groups > 1 else str(seen)


# Multiply-adds.


def count_multiply_adds(node: Any, made: list[GraphTensor]) -> int | None:
    """Those of one call for one image; None where this module cannot tell."""
    operation, kind = node.operation, type(node.operation).__name__
    if isinstance(operation, CONVOLUTIONS) or kind in OPS_CONVOLUTIONS:
        positions = math.prod(made[0].shape[:-1])
        return positions * sum(math.prod(kernel) for kernel in list_kernel_shapes(node))
    if isinstance(operation, layers.Dense):
        return math.prod(made[0].shape[:-1]) * math.prod(operation.kernel.shape)
    if kind == "Matmul":
        # Of two tensors, or of a tensor and an array: (…, m, k) x (k, n) costs k a number.
        return math.prod(made[0].shape) * get_argument(node, 0, "x1").shape[-1]
    if kind in UNCOUNTED:
        return None
    weights = getattr(operation, "weights", [])
    matrices = any(len(variable.shape) > 1 for variable in weights)
    return None if matrices and not isinstance(operation, ELEMENTWISE) else 0
