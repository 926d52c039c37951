"""Walk through the functional graph of a network call by call, without data or weight values."""

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

# The weights of these layers may have several axes, but are no matrices: they cost at most one
# multiplication for each number, which is not counted.
ELEMENTWISE = (layers.PReLU, layers.LayerNormalization, layers.Embedding)
UNCOUNTED = (
    *("Einsum", "Dot", "Tensordot", "Inner", "Outer", "Vdot", "ConvTranspose"),
    *("DotProductAttention", "Attention", "AdditiveAttention"),
)
# Attributes of layers that a table shows, and how.
SETTINGS = {
    "rate": "rate {:g}",  # of dropouts
    "max_value": "up to {:g}",  # of ReLU6
    "negative_slope": "slope {:g}",  # of LeakyReLU
    "interpolation": "{}",  # of upsampling
}


@dataclass(frozen=True)
class LayerRow:
    """What one call of a layer, or of an operation, is, has and costs."""

    layer: str
    kind: str
    window: str | None  # 3x3/2: kernel and stride, of convolutions and pools
    activation: str | None  # of an activation layer, or within another: Dense(activation="relu")
    setting: str | None  # such as "rate 0.5" of a dropout
    what: str  # kind, window, activation and setting, for people
    inputs: tuple[int, ...]  # the numbers of the rows that it reads; the image has none
    output: Shape
    parameters: int
    multiply_adds: int | None  # for one image; None: not counted
    receptive_field: Axes | None  # of convolutions and pools: pixels of the image, each axis
    stride: Axes | None


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of known size in the graph, with the receptive field of its positions."""

    tensor: keras.KerasTensor
    field: ReceptiveField | None  # None where no spatial positions are left
    row: int | None = None  # the number of the row whose output it is; None for the image

    @property
    def shape(self) -> Shape:
        """The shape of the tensor for one image, without the batch axis."""
        return tuple(self.tensor.shape[1:])


class GraphWalk:
    """Visits a graph, and the graphs nested in it, and collects a `LayerRow` for each call."""

    def __init__(self) -> None:
        self.rows: list[LayerRow] = []
        self.counted: set[int] = set()  # ids of the variables that a row has counted already

    def __call__(
        self, network: Any, inputs: Sequence[GraphTensor], prefix: str
    ) -> list[GraphTensor]:
        """Visit a network that is called on `inputs`; return its outputs.

        `prefix` stands before the names of its layers: `outer/` for those of a nested model.
        """
        graph = get_graph(network)
        signals = {id(ref): signal for ref, signal in zip(graph.inputs, inputs, strict=True)}
        for node in iterate_nodes(graph):
            operation, sources = node.operation, [signals[id(x)] for x in node.input_tensors]
            if get_graph(operation) is not None:
                # Keras lists the inputs of a call in the order of the nested model's own.
                outputs = self(operation, sources, f"{prefix}{operation.name}/")
            else:
                outputs = self.visit_node(node, sources, f"{prefix}{operation.name}")
            signals |= {id(ref): signal for ref, signal in zip(node.outputs, outputs, strict=True)}
        return [signals[id(ref)] for ref in graph.outputs]

    def visit_node(self, node: Any, sources: list[GraphTensor], name: str) -> list[GraphTensor]:
        """Add the row of one call of a layer or operation; return its outputs."""
        tensors = compute_outputs(node, sources)
        window = find_window(node)
        field = merge_fields([source.field for source in sources])
        if window:
            padding = compute_front_padding(node, window, sources[0].shape)
            fields = [window(field, padding)] * len(tensors)
        else:
            field = shift_field(field, node.operation)
            fields = [field if has_positions(t, sources) else None for t in tensors]
        outputs = [GraphTensor(t, f, len(self.rows)) for t, f in zip(tensors, fields, strict=True)]
        self.add_row(node, sources, outputs, name, window)
        return outputs

    def add_row(
        self,
        node: Any,
        sources: list[GraphTensor],
        outputs: list[GraphTensor],
        name: str,
        window: SlidingWindow | None,
    ) -> None:
        """Add the row of a call; its parameters are 0 if an earlier call has counted them."""
        operation, field = node.operation, outputs[0].field if window else None
        new = {id(v): math.prod(v.shape) for v in getattr(operation, "weights", [])}
        parameters = sum(size for key, size in new.items() if key not in self.counted)
        self.counted |= set(new)
        kind = type(operation).__name__
        parts = (
            kind if parameters or not new else f"{kind} (again)",
            describe_window(window, operation) if window else None,
            name_activation(operation),
            describe_setting(operation),
        )
        self.rows.append(
            LayerRow(
                name,
                *parts,
                what=" ".join(part for part in parts if part),
                inputs=tuple(dict.fromkeys(s.row for s in sources if s.row is not None)),
                output=outputs[0].shape,
                parameters=parameters,
                multiply_adds=count_multiply_adds(node, outputs),
                receptive_field=field.size if field else None,
                stride=field.stride if field else None,
            )
        )


def compute_outputs(node: Any, sources: list[GraphTensor]) -> list[keras.KerasTensor]:
    """Return the outputs of a call, of known size even if the graph takes images of any size."""
    if not any(None in tensor.shape[1:] for tensor in node.outputs):
        return node.outputs
    pairs = zip(node.input_tensors, sources, strict=True)
    tensors = {id(ref): signal.tensor for ref, signal in pairs}
    arguments, keywords = node.arguments.fill_in(tensors)
    return keras.tree.flatten(node.operation.compute_output_spec(*arguments, **keywords))


def has_positions(tensor: keras.KerasTensor, sources: list[GraphTensor]) -> bool:
    """Return whether `tensor`, computed from `sources`, still has spatial positions.

    A global pool leaves none.
    """
    spatial = tuple(tensor.shape[1:-1])
    if math.prod(spatial) > 1:
        return True
    return bool(spatial) and any(math.prod(s.shape[:-1]) == 1 and s.field for s in sources)


def describe_window(window: SlidingWindow, operation: Any) -> str:
    groups = getattr(operation, "groups", 1)
    return f"{window} in {groups} groups" if groups > 1 else str(window)


def name_activation(operation: Any) -> str | None:
    """Return the name of the activation of a layer, `relu` for `Dense(activation="relu")`."""
    name = getattr(getattr(operation, "activation", None), "__name__", "linear")
    return None if name == "linear" else name


def describe_setting(operation: Any) -> str | None:
    """Return the setting of an operation that a table shows, such as `rate 0.5`, or None."""
    for attribute, text in SETTINGS.items():
        value = getattr(operation, attribute, None)
        if isinstance(value, int | float | str) and value:
            return text.format(value)
    return None


# Multiply-adds.


def count_multiply_adds(node: Any, outputs: list[GraphTensor]) -> int | None:
    """Return the multiply-adds of one call for one image, or None where they are unknown."""
    operation, kind = node.operation, type(node.operation).__name__
    if isinstance(operation, CONVOLUTIONS) or kind in OPS_CONVOLUTIONS:
        positions = math.prod(outputs[0].shape[:-1])
        return positions * sum(math.prod(kernel) for kernel in list_kernel_shapes(node))
    if isinstance(operation, layers.Dense):
        return math.prod(outputs[0].shape[:-1]) * math.prod(operation.kernel.shape)
    if kind == "Matmul":
        # (…, m, k) x (k, n) costs k multiply-adds for each number of the product.
        return math.prod(outputs[0].shape) * get_argument(node, 0, "x1").shape[-1]
    if kind in UNCOUNTED:
        return None
    weights = getattr(operation, "weights", [])
    matrices = any(len(variable.shape) > 1 for variable in weights)
    return None if matrices and not isinstance(operation, ELEMENTWISE) else 0
