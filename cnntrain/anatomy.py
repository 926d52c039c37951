"""What each layer of a network has and costs: parameters, multiply-adds, receptive field.

Read off the functional graph, call by call, without data and without values in the weights. A
layer that is called twice has two rows, and its parameters only in the first; the layers of a
nested model have rows of their own, as `outer/inner`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers

CONVOLUTIONS = (
    *(layers.Conv1D, layers.Conv2D, layers.Conv3D),
    *(layers.DepthwiseConv1D, layers.DepthwiseConv2D),
    *(layers.SeparableConv1D, layers.SeparableConv2D),
)
POOLS = (
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
)
# Layers whose weights of several axes are no matrices: one multiplication a number at most.
ELEMENTWISE = (layers.PReLU, layers.LayerNormalization, layers.Embedding)
# Operations of keras.ops between layers, which have no public classes: by their names.
OPS_CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv")
OPS_POOLS = ("MaxPool", "AveragePool")
UNCOUNTED = (
    *("Einsum", "Dot", "Tensordot", "Inner", "Outer", "Vdot", "ConvTranspose"),
    *("DotProductAttention", "Attention", "AdditiveAttention"),
)

Axes = tuple[float, ...]  # a number for each spatial axis
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Field:
    """How much of the image a position sees, how far the next one is, and where the first begins.

    In pixels; the first begins before the image where there is padding (Araujo et al. 2019).
    """

    size: Axes
    stride: Axes
    start: Axes


@dataclass(frozen=True)
class Window:
    """What an operation looks at for one position of its output, in positions of its input."""

    size: Axes
    strides: Axes
    dilation: Axes

    def __call__(self, field: Field | None, padding: Axes) -> Field | None:
        """The receptive field behind the operation, with so many positions of padding in front."""
        if field is None or len(field.size) != len(self.size):
            return None
        taps = [(k - 1) * d for k, d in zip(self.size, self.dilation, strict=True)]
        seen = [f + tap * s for f, tap, s in zip(field.size, taps, field.stride, strict=True)]
        stride = [f * s for f, s in zip(field.stride, self.strides, strict=True)]
        start = [f - p * s for f, p, s in zip(field.start, padding, field.stride, strict=True)]
        return Field(tuple(seen), tuple(stride), tuple(start))

    def __str__(self) -> str:
        text = "x".join(f"{axis:g}" for axis in self.size)
        if set(self.strides) != {1}:
            text += f"/{axes(self.strides)}"
        if set(self.dilation) != {1}:
            text += f" dilated {axes(self.dilation)}"
        return text


@dataclass(frozen=True)
class Row:
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
class Signal:
    """A tensor of the graph, of known size, and what each position of it sees of the image."""

    tensor: keras.KerasTensor
    field: Field | None  # None where there are no positions any more

    @property
    def shape(self) -> Shape:
        """Without the batch."""
        return tuple(self.tensor.shape[1:])


def anatomy(network: keras.Model) -> list[Row]:
    """Return a row for each layer that has parameters, multiplies, or moves the receptive field.

    Multiply-adds are those of convolutions, dense layers and matrix products; the rest has 0.
    Where branches meet, the largest field goes on. Raises ValueError for an input of unknown size.
    """
    inputs = [Signal(tensor, whole(tensor.shape[1:])) for tensor in network.inputs]
    if any(None in signal.shape for signal in inputs):
        raise ValueError(f"{network.name} takes {inputs[0].shape}: expected a known size")
    walk = Walk()
    walk(network, inputs, "")
    return walk.rows


def totals(network: keras.Model) -> dict[str, int]:
    """Parameters, how many of them train, and multiply-adds of one forward pass for one image."""
    trainable = sum(math.prod(v.shape) for v in network.trainable_weights)
    return {
        "parameters": sum(math.prod(v.shape) for v in network.weights),
        "trainable": trainable,
        "multiply_adds": sum(row.multiply_adds or 0 for row in anatomy(network)),
    }


def receptive_field(rows: Sequence[Row]) -> Axes | None:
    """How much of the image the last positions see, along each axis; None without positions."""
    fields = [row.receptive_field for row in rows if row.receptive_field]
    return tuple(max(axis) for axis in zip(*fields, strict=False)) or None


def evaluated(network: keras.Model) -> keras.Model:
    """The network without its auxiliary heads, which are there for training only."""
    if len(network.outputs) == 1:
        return network
    return keras.Model(network.inputs, network.outputs[0], name=network.name)


class Walk:
    """A walk through a graph, and through the graphs within it, that leaves rows behind."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.counted: set[int] = set()  # variables that a row has already

    def __call__(self, network: Any, inputs: Sequence[Signal], prefix: str) -> list[Signal]:
        """Visit a network on these inputs; return what comes out."""
        graph = graph_of(network)
        known = {id(ref): signal for ref, signal in zip(graph.inputs, inputs, strict=True)}
        for node in nodes(graph):
            operation, sources = node.operation, [known[id(x)] for x in node.input_tensors]
            if graph_of(operation) is not None:
                # Keras flattens the inputs of a model in the order of its own.
                made = self(operation, sources, f"{prefix}{operation.name}/")
            else:
                made = self.visit(node, sources, f"{prefix}{operation.name}")
            known |= {id(ref): signal for ref, signal in zip(node.outputs, made, strict=True)}
        return [known[id(ref)] for ref in graph.outputs]

    def visit(self, node: Any, sources: list[Signal], name: str) -> list[Signal]:
        """One call of one layer or operation."""
        tensors = outputs_of(node, sources)
        window = window_of(node)
        field = largest([source.field for source in sources])
        if window:
            padding = in_front(node, window, sources[0].shape)
            made = [Signal(tensor, window(field, padding)) for tensor in tensors]
        else:
            field = moved(field, node.operation)
            made = [Signal(t, field if has_positions(t, sources) else None) for t in tensors]
        new = {id(v): math.prod(v.shape) for v in getattr(node.operation, "weights", [])}
        parameters = sum(size for key, size in new.items() if key not in self.counted)
        cost = multiply_adds(node, sources, made)
        kind = type(node.operation).__name__
        if window or new or cost != 0 or "Pooling" in kind:
            seen = made[0].field if window else None
            self.rows.append(
                Row(
                    layer=name,
                    kind=kind if parameters or not new else f"{kind} (again)",
                    window=described(window, node.operation) if window else None,
                    output=made[0].shape,
                    parameters=parameters,
                    multiply_adds=cost,
                    receptive_field=seen.size if seen else None,
                    stride=seen.stride if seen else None,
                )
            )
        self.counted |= set(new)
        return made


def graph_of(operation: Any) -> Any:
    """The graph of a functional or sequential model; None for anything else."""
    graph = getattr(operation, "_functional", None) or operation
    return graph if hasattr(graph, "_nodes_by_depth") else None


def nodes(graph: Any) -> Iterator[Any]:
    """The calls within a graph, each behind those that it needs."""
    for _, level in sorted(graph._nodes_by_depth.items(), reverse=True):
        yield from (node for node in level if not node.is_input)


def outputs_of(node: Any, sources: list[Signal]) -> list[keras.KerasTensor]:
    """What a call puts out; computed where the graph was drawn for images of any size."""
    if not any(None in tensor.shape[1:] for tensor in node.outputs):
        return node.outputs
    pairs = zip(node.input_tensors, sources, strict=True)
    given = {id(ref): signal.tensor for ref, signal in pairs}
    arguments, keywords = node.arguments.fill_in(given)
    return keras.tree.flatten(node.operation.compute_output_spec(*arguments, **keywords))


# The receptive field.


def whole(shape: Shape) -> Field | None:
    """The field of the image's own pixels; None for what is no image."""
    axes = len(shape) - 1
    return Field((1,) * axes, (1,) * axes, (0,) * axes) if axes > 0 else None


def largest(fields: list[Field | None]) -> Field | None:
    """The field where branches meet."""
    found = [field for field in fields if field is not None]
    if not found:
        return None
    sizes, strides = zip(*[(field.size, field.stride) for field in found], strict=True)
    starts = [field.start for field in found]
    return Field(
        tuple(max(axis) for axis in zip(*sizes, strict=False)),
        tuple(max(axis) for axis in zip(*strides, strict=False)),
        tuple(min(axis) for axis in zip(*starts, strict=False)),
    )


def in_front(node: Any, window: Window, shape: Shape) -> Axes:
    """The positions of padding before the first of an input of this shape, along each axis."""
    if getattr(node.operation, "padding", "valid") != "same":
        return (0,) * len(window.size)
    found = []
    for n, k, s, d in zip(shape, window.size, window.strides, window.dilation, strict=False):
        needed = (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n
        found.append(max(0, needed) // 2)  # TensorFlow puts the odd one behind
    return tuple(found)


def moved(field: Field | None, operation: Any) -> Field | None:
    """The field behind a layer of padding, whose first position is before that of its input."""
    if field is None or not isinstance(operation, layers.ZeroPadding2D):
        return field
    pairs = zip(field.start, operation.padding, field.stride, strict=True)
    return replace(field, start=tuple(f - front * s for f, (front, _), s in pairs))


def has_positions(tensor: keras.KerasTensor, sources: list[Signal]) -> bool:
    """Whether there are still positions in what came of these: not behind a global pool."""
    spatial = tuple(tensor.shape[1:-1])
    if math.prod(spatial) > 1:
        return True
    return bool(spatial) and any(math.prod(s.shape[:-1]) == 1 and s.field for s in sources)


def window_of(node: Any) -> Window | None:
    """The window of a convolution, a pool, a strided slice or an enlargement; None for others."""
    operation, kind = node.operation, type(node.operation).__name__
    if isinstance(operation, CONVOLUTIONS):
        return Window(operation.kernel_size, operation.strides, operation.dilation_rate)
    if isinstance(operation, POOLS):
        return window(operation.pool_size, operation.strides, 1, len(operation.pool_size))
    if isinstance(operation, layers.UpSampling2D):
        taps = 1 if operation.interpolation == "nearest" else 2
        return Window((taps, taps), tuple(1 / size for size in operation.size), (1, 1))
    rank = len(node.outputs[0].shape) - 2 if node.outputs else 0
    if kind in OPS_POOLS:
        return window(operation.pool_size, operation.strides, 1, rank)
    if kind in OPS_CONVOLUTIONS:
        kernel = kernels(node)[0][:rank]
        return window(kernel, operation.strides, operation.dilation_rate, rank)
    if kind == "GetItem":
        return strided(argument(node, 1, "key"), rank)
    return None


def window(size: Any, strides: Any, dilation: Any, rank: int) -> Window:
    """A window of numbers that may stand for all axes; without strides, its own size."""
    size, strides, dilation = (
        (value,) * rank if isinstance(value, int) else tuple(value)
        for value in (size, size if strides is None else strides, dilation)
    )
    return Window(size, strides, dilation)


def strided(key: Any, rank: int) -> Window | None:
    """The window of `x[:, ::2, ::2]`: every second position of each axis; None for other keys."""
    parts = list(key) if isinstance(key, (list, tuple)) else [key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (rank + 3 - len(parts))
    if not all(isinstance(part, slice) for part in parts):
        return None
    steps = [abs(part.step or 1) for part in parts]
    steps = [*steps, *[1] * (rank + 2)][1 : rank + 1]
    return None if set(steps) <= {1} else Window((1,) * rank, tuple(steps), (1,) * rank)


def described(seen: Window, operation: Any) -> str:
    groups = getattr(operation, "groups", 1)
    return f"{seen} in {groups} groups" if groups > 1 else str(seen)


# Multiply-adds.


def multiply_adds(node: Any, sources: list[Signal], made: list[Signal]) -> int | None:
    """Those of one call for one image; None where this module cannot tell."""
    operation, kind = node.operation, type(node.operation).__name__
    if isinstance(operation, CONVOLUTIONS) or kind in OPS_CONVOLUTIONS:
        positions = math.prod(made[0].shape[:-1])
        return positions * sum(math.prod(kernel) for kernel in kernels(node))
    if isinstance(operation, layers.Dense):
        return math.prod(made[0].shape[:-1]) * math.prod(operation.kernel.shape)
    if kind == "Matmul":
        # Of two tensors, or of a tensor and an array: (…, m, k) x (k, n) costs k a number.
        return math.prod(made[0].shape) * argument(node, 0, "x1").shape[-1]
    if kind in UNCOUNTED:
        return None
    weights = getattr(operation, "weights", [])
    matrices = any(len(variable.shape) > 1 for variable in weights)
    return None if matrices and not isinstance(operation, ELEMENTWISE) else 0


def kernels(node: Any) -> list[Shape]:
    """The shapes of a convolution's kernels, of a separable one both; with groups, of one group."""
    operation = node.operation
    if hasattr(operation, "depthwise_kernel"):
        return [tuple(operation.depthwise_kernel.shape), tuple(operation.pointwise_kernel.shape)]
    if isinstance(operation, CONVOLUTIONS):
        return [tuple(operation.kernel.shape)]
    if type(operation).__name__ == "SeparableConv":
        return [
            tuple(argument(node, 1, "depthwise_kernel").shape),
            tuple(argument(node, 2, "pointwise_kernel").shape),
        ]
    return [tuple(argument(node, 1, "kernel").shape)]


def argument(node: Any, number: int, name: str) -> Any:
    """What an operation was called with."""
    given = node.arguments
    return given.args[number] if len(given.args) > number else given.kwargs[name]


def axes(numbers: Axes) -> str:
    """A number for each axis as text: 2 where they are all 2, else 1x2."""
    parts = [f"{number:g}" for number in numbers]
    return parts[0] if len(set(parts)) == 1 else "x".join(parts)
