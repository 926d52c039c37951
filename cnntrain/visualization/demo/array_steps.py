"""The steps of arithmetic, and of what moves numbers: concatenations, pads, slices."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from cnntrain.analysis.receptive_field import get_argument
from cnntrain.visualization.demo.calls import (
    Writer,
    check_repeats,
    get_shape,
    refuse_call,
    write_affine,
)
from cnntrain.visualization.demo.program import ArrayRef, Program, Shape


def write_sum(program: Program, node: Any, inputs: list[ArrayRef], *, sign: int) -> ArrayRef:
    """Write a sum, or with a `sign` of -1 a difference, of arrays, or an array and a constant."""
    constant = find_array_argument(node)
    if constant is None:
        check_repeats(node, [ref.shape for ref in inputs])
        factors = [1, *[sign] * (len(inputs) - 1)]
        return program.add_step("sum", inputs, get_shape(node), factors=factors)
    place, value = constant
    scale, offset = (1, sign * value) if place else (sign, value)
    return write_affine(program, node, inputs[0], scale, offset)


def write_product(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a product of two arrays, or of an array and a constant."""
    constant = find_array_argument(node)
    if constant is not None:
        return write_affine(program, node, inputs[0], constant[1], 0)
    if len(inputs) != 2:
        raise refuse_call(node)
    check_repeats(node, [ref.shape for ref in inputs])
    return program.add_step("product", inputs, get_shape(node))


def write_square(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write the square of each number."""
    return program.add_step("product", inputs * 2, get_shape(node))


def write_zeros(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write an array of zeros of the same shape."""
    return write_affine(program, node, inputs[0], 0, 0)


def find_array_argument(node: Any) -> tuple[int, np.ndarray] | None:
    """Return the place, 0 or 1, and the value of an argument that is no tensor, if there is one."""
    parts = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    constants = [
        (place, np.asarray(part))
        for place, part in enumerate(parts)
        if not isinstance(part, keras.KerasTensor)
    ]
    if len(constants) > 1:
        raise refuse_call(node)
    return constants[0] if constants else None


# What moves numbers.


def write_concatenation(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write arrays side by side along the last axis."""
    if node.operation.axis not in (-1, len(inputs[0].shape)):
        raise refuse_call(node)
    return program.add_step("concat", inputs, get_shape(node))


def write_reshape(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write the same numbers in another shape."""
    return program.add_step("reshape", inputs, get_shape(node))


def write_slice(
    program: Program, x: ArrayRef, shape: Shape, start: Sequence[int], strides: Sequence[int]
) -> ArrayRef:
    """Write every `strides`th number of x from `start` on, and zeros beyond its edges."""
    ones = [1] * (3 - len(shape))
    return program.add_step(
        "slice",
        [x],
        shape,
        start=[*[0] * len(ones), *start],
        strides=[*ones, *strides],
        size=[*ones, *shape],
        of=[*ones, *x.shape],
    )


def write_zero_padding(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a layer ZeroPadding2D."""
    (top, _), (left, _) = node.operation.padding
    return write_slice(program, inputs[0], get_shape(node), (-top, -left, 0), (1, 1, 1))


def write_cropping(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a layer Cropping2D."""
    (top, _), (left, _) = node.operation.cropping
    return write_slice(program, inputs[0], get_shape(node), (top, left, 0), (1, 1, 1))


def write_pad(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write `ops.pad` with zeros."""
    [x] = inputs
    operation, value = node.operation, node.arguments.kwargs.get("constant_values")
    if operation.mode != "constant" or value or len(operation.pad_width) != len(x.shape) + 1:
        raise refuse_call(node)
    start = [-before for before, _ in operation.pad_width[1:]]
    return write_slice(program, x, get_shape(node), start, [1] * len(start))


def write_indexing(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write slices in brackets, such as x[:, ::2, ::2]."""
    [x] = inputs
    key = get_argument(node, 1, "key")
    parts = list(key) if isinstance(key, list | tuple) else [key]
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (len(x.shape) + 2 - len(parts))
    parts = [*parts, *[slice(None)] * (len(x.shape) + 1 - len(parts))]
    if parts[0] != slice(None) or not all(isinstance(part, slice) for part in parts):
        raise refuse_call(node)
    ranges = [range(*part.indices(n)) for part, n in zip(parts[1:], x.shape, strict=True)]
    starts, strides = [r.start for r in ranges], [r.step for r in ranges]
    return write_slice(program, x, get_shape(node), starts, strides)


def write_split(program: Program, node: Any, inputs: list[ArrayRef]) -> list[ArrayRef]:
    """Write equal parts along the last axis."""
    [x] = inputs
    if node.operation.axis not in (-1, len(x.shape)):
        raise refuse_call(node)
    widths = [tensor.shape[-1] for tensor in node.outputs]
    return [pick_channels(program, x, sum(widths[:n]), width) for n, width in enumerate(widths)]


def pick_channels(program: Program, x: ArrayRef, first: int, count: int) -> ArrayRef:
    """Write a step that takes some channels that are beside each other."""
    start = [*[0] * (len(x.shape) - 1), first]
    return write_slice(program, x, (*x.shape[:-1], count), start, [1] * len(start))


def write_selection(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write `ops.take` of some channels."""
    [x] = inputs
    chosen = np.asarray(get_argument(node, 1, "indices"))
    if node.operation.axis not in (-1, len(x.shape)) or chosen.ndim != 1:
        raise refuse_call(node)
    channels = [pick_channels(program, x, int(n) % x.shape[-1], 1) for n in chosen]
    return program.add_step("concat", channels, get_shape(node))


def write_repetition(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write `ops.repeat` of the only channel of a grey image."""
    [x] = inputs
    if node.operation.axis not in (-1, len(x.shape)) or x.shape[-1] != 1:
        raise refuse_call(node)
    return program.add_step("concat", [x] * node.operation.repeats, get_shape(node))


ARRAY_WRITERS: dict[str, Writer] = {
    "Add": partial(write_sum, sign=1),
    "Subtract": partial(write_sum, sign=-1),
    "Multiply": write_product,
    "Square": write_square,
    "ZerosLike": write_zeros,
    "Concatenate": write_concatenation,
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze"), write_reshape),
    "ZeroPadding2D": write_zero_padding,
    "Cropping2D": write_cropping,
    "Pad": write_pad,
    "GetItem": write_indexing,
    "Split": write_split,
    "Take": write_selection,
    "Repeat": write_repetition,
}
