"""How much of the image a position of a feature map sees, layer by layer (Araujo et al. 2019)."""

import math
from dataclasses import dataclass, replace
from typing import Any

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
# Operations of keras.ops between layers, which have no public classes: by their names.
OPS_CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv")
OPS_POOLS = ("MaxPool", "AveragePool")

Axes = tuple[float, ...]  # a number for each spatial axis
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ReceptiveField:
    """How much of the image a position sees, how far the next one is, and where the first begins.

    In pixels; the first begins before the image where there is padding (Araujo et al. 2019).
    """

    size: Axes
    stride: Axes
    start: Axes


@dataclass(frozen=True)
class SlidingWindow:
    """What an operation looks at for one position of its output, in positions of its input."""

    size: Axes
    strides: Axes
    dilation: Axes

    def __call__(self, field: ReceptiveField | None, padding: Axes) -> ReceptiveField | None:
        """The receptive field behind the operation, with so many positions of padding in front."""
        if field is None or len(field.size) != len(self.size):
            return None
        taps = [(k - 1) * d for k, d in zip(self.size, self.dilation, strict=True)]
        seen = [f + tap * s for f, tap, s in zip(field.size, taps, field.stride, strict=True)]
        stride = [f * s for f, s in zip(field.stride, self.strides, strict=True)]
        start = [f - p * s for f, p, s in zip(field.start, padding, field.stride, strict=True)]
        return ReceptiveField(tuple(seen), tuple(stride), tuple(start))

    def __str__(self) -> str:
        text = "x".join(f"{axis:g}" for axis in self.size)
        if set(self.strides) != {1}:
            text += f"/{format_axes(self.strides)}"
        if set(self.dilation) != {1}:
            text += f" dilated {format_axes(self.dilation)}"
        return text


# The receptive field.


def make_image_field(shape: Shape) -> ReceptiveField | None:
    """The field of the image's own pixels; None for what is no image."""
    axes = len(shape) - 1
    return ReceptiveField((1,) * axes, (1,) * axes, (0,) * axes) if axes > 0 else None


def merge_fields(fields: list[ReceptiveField | None]) -> ReceptiveField | None:
    """The field where branches meet."""
    found = [field for field in fields if field is not None]
    if not found:
        return None
    sizes, strides = zip(*[(field.size, field.stride) for field in found], strict=True)
    starts = [field.start for field in found]
    return ReceptiveField(
        tuple(max(axis) for axis in zip(*sizes, strict=False)),
        tuple(max(axis) for axis in zip(*strides, strict=False)),
        tuple(min(axis) for axis in zip(*starts, strict=False)),
    )


def compute_front_padding(node: Any, window: SlidingWindow, shape: Shape) -> Axes:
    """The positions of padding before the first of an input of this shape, along each axis."""
    if getattr(node.operation, "padding", "valid") != "same":
        return (0,) * len(window.size)
    found = []
    for n, k, s, d in zip(shape, window.size, window.strides, window.dilation, strict=False):
        needed = (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n
        found.append(max(0, needed) // 2)  # TensorFlow puts the odd one behind
    return tuple(found)


def shift_field(field: ReceptiveField | None, operation: Any) -> ReceptiveField | None:
    """The field behind a layer of padding, whose first position is before that of its input."""
    if field is None or not isinstance(operation, layers.ZeroPadding2D):
        return field
    pairs = zip(field.start, operation.padding, field.stride, strict=True)
    return replace(field, start=tuple(f - front * s for f, (front, _), s in pairs))


def find_window(node: Any) -> SlidingWindow | None:
    """The window of a convolution, a pool, a strided slice or an enlargement; None for others."""
    operation, kind = node.operation, type(node.operation).__name__
    if isinstance(operation, CONVOLUTIONS):
        return SlidingWindow(operation.kernel_size, operation.strides, operation.dilation_rate)
    if isinstance(operation, POOLS):
        return make_window(operation.pool_size, operation.strides, 1, len(operation.pool_size))
    if isinstance(operation, layers.UpSampling2D):
        taps = 1 if operation.interpolation == "nearest" else 2
        return SlidingWindow((taps, taps), tuple(1 / size for size in operation.size), (1, 1))
    rank = len(node.outputs[0].shape) - 2 if node.outputs else 0
    if kind in OPS_POOLS:
        return make_window(operation.pool_size, operation.strides, 1, rank)
    if kind in OPS_CONVOLUTIONS:
        kernel = list_kernel_shapes(node)[0][:rank]
        return make_window(kernel, operation.strides, operation.dilation_rate, rank)
    if kind == "GetItem":
        return find_slice_window(get_argument(node, 1, "key"), rank)
    return None


def make_window(size: Any, strides: Any, dilation: Any, rank: int) -> SlidingWindow:
    """A window of numbers that may stand for all axes; without strides, its own size."""
    size, strides, dilation = (
        (value,) * rank if isinstance(value, int) else tuple(value)
        for value in (size, size if strides is None else strides, dilation)
    )
    return SlidingWindow(size, strides, dilation)


def find_slice_window(key: Any, rank: int) -> SlidingWindow | None:
    """The window of `x[:, ::2, ::2]`: every second position of each axis; None for other keys."""
    parts = list(key) if isinstance(key, (list, tuple)) else [key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (rank + 3 - len(parts))
    if not all(isinstance(part, slice) for part in parts):
        return None
    steps = [abs(part.step or 1) for part in parts]
    steps = [*steps, *[1] * (rank + 2)][1 : rank + 1]
    return None if set(steps) <= {1} else SlidingWindow((1,) * rank, tuple(steps), (1,) * rank)


def list_kernel_shapes(node: Any) -> list[Shape]:
    """The shapes of a convolution's kernels, of a separable one both; with groups, of one group."""
    operation = node.operation
    if hasattr(operation, "depthwise_kernel"):
        return [tuple(operation.depthwise_kernel.shape), tuple(operation.pointwise_kernel.shape)]
    if isinstance(operation, CONVOLUTIONS):
        return [tuple(operation.kernel.shape)]
    if type(operation).__name__ == "SeparableConv":
        return [
            tuple(get_argument(node, 1, "depthwise_kernel").shape),
            tuple(get_argument(node, 2, "pointwise_kernel").shape),
        ]
    return [tuple(get_argument(node, 1, "kernel").shape)]


def get_argument(node: Any, number: int, name: str) -> Any:
    """What an operation was called with."""
    given = node.arguments
    return given.args[number] if len(given.args) > number else given.kwargs[name]


def format_axes(numbers: Axes) -> str:
    """A number for each axis as text: 2 where they are all 2, else 1x2."""
    parts = [f"{number:g}" for number in numbers]
    return parts[0] if len(set(parts)) == 1 else "x".join(parts)
