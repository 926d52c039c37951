"""Receptive fields: how much of the image a position of a feature map sees (Araujo et al. 2019)."""

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
# The operations of keras.ops have no public classes, so that they are recognised by their names.
OPS_CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv")
OPS_POOLS = ("MaxPool", "AveragePool")

Axes = tuple[float, ...]  # a number for each spatial axis
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ReceptiveField:
    """The part of the image that one position of a feature map sees, in pixels along each axis.

    `stride` is the distance to the field of the next position. `start` is where the field of the
    first position begins, which is before the image where there is padding.
    """

    size: Axes
    stride: Axes
    start: Axes


@dataclass(frozen=True)
class SlidingWindow:
    """The positions of its input that an operation reads for one position of its output."""

    size: Axes
    strides: Axes
    dilation: Axes

    def __call__(self, field: ReceptiveField | None, padding: Axes) -> ReceptiveField | None:
        """Return the receptive field of the output, given that of the input.

        `padding` is the number of positions before the first along each axis. None goes in where
        the input has no positions, and comes out there.
        """
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


def make_image_field(shape: Shape) -> ReceptiveField | None:
    """Return the field of one pixel of an image (…, C); None for an input without positions."""
    axes = len(shape) - 1
    return ReceptiveField((1,) * axes, (1,) * axes, (0,) * axes) if axes > 0 else None


def merge_fields(fields: list[ReceptiveField | None]) -> ReceptiveField | None:
    """Return the field where branches meet: the largest, from the earliest start."""
    known = [field for field in fields if field is not None]
    if not known:
        return None
    sizes, strides = zip(*[(field.size, field.stride) for field in known], strict=True)
    starts = [field.start for field in known]
    return ReceptiveField(
        tuple(max(axis) for axis in zip(*sizes, strict=False)),
        tuple(max(axis) for axis in zip(*strides, strict=False)),
        tuple(min(axis) for axis in zip(*starts, strict=False)),
    )


def compute_front_padding(node: Any, window: SlidingWindow, shape: Shape) -> Axes:
    """Return how many positions of padding stand before an input of `shape`, along each axis."""
    if getattr(node.operation, "padding", "valid") != "same":
        return (0,) * len(window.size)
    front = []
    for n, k, s, d in zip(shape, window.size, window.strides, window.dilation, strict=False):
        needed = (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n
        front.append(max(0, needed) // 2)  # TensorFlow puts an odd one behind the input
    return tuple(front)


def shift_field(field: ReceptiveField | None, operation: Any) -> ReceptiveField | None:
    """Return the field after `operation`; a padding layer moves its start before the input's."""
    if field is None or not isinstance(operation, layers.ZeroPadding2D):
        return field
    pairs = zip(field.start, operation.padding, field.stride, strict=True)
    return replace(field, start=tuple(f - front * s for f, (front, _), s in pairs))


def find_window(node: Any) -> SlidingWindow | None:
    """Return the window of a convolution, pool, upsampling or strided slice; None for others."""
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
    """Return a window over `rank` axes; an int stands for all axes, strides None for the size."""
    size, strides, dilation = (
        (value,) * rank if isinstance(value, int) else tuple(value)
        for value in (size, size if strides is None else strides, dilation)
    )
    return SlidingWindow(size, strides, dilation)


def find_slice_window(key: Any, rank: int) -> SlidingWindow | None:
    """Return the window of a strided slice such as `x[:, ::2, ::2]`; None for other keys."""
    parts = list(key) if isinstance(key, (list, tuple)) else [key]
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (rank + 3 - len(parts))
    if not all(isinstance(part, slice) for part in parts):
        return None
    steps = [abs(part.step or 1) for part in parts]
    steps = [*steps, *[1] * (rank + 2)][1 : rank + 1]
    return None if set(steps) <= {1} else SlidingWindow((1,) * rank, tuple(steps), (1,) * rank)


def list_kernel_shapes(node: Any) -> list[Shape]:
    """Return the kernel shapes of a convolution: two of a separable one, those of one group."""
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
    """Return what a call passed for the argument `name`, which is the positional one `number`."""
    arguments = node.arguments
    return arguments.args[number] if len(arguments.args) > number else arguments.kwargs[name]


def format_axes(numbers: Axes) -> str:
    """Return the numbers of all axes as text: `2` where all are 2, else `1x2`."""
    parts = [f"{number:g}" for number in numbers]
    return parts[0] if len(set(parts)) == 1 else "x".join(parts)
