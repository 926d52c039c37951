"""What the steps of every call begin with: its shape, and the answer where there are none."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cnntrain.errors import SpecError
from cnntrain.visualization.demo.program import ArrayRef, Program, Shape

# Writes the steps of one call for its inputs; returns its output, or its outputs.
Writer = Callable[[Program, Any, list[ArrayRef]], ArrayRef | list[ArrayRef]]


def refuse_call(node: Any) -> SpecError:
    """Return the SpecError for a call that a page cannot compute."""
    kind = type(node.operation).__name__
    return SpecError(
        f"{node.operation.name} of the network is a {kind} that a page cannot compute",
        "a network of the usual layers, or another format",
        "--format onnx",
    )


def get_shape(node: Any) -> Shape:
    """Return the shape of a call's first output without the batch axis."""
    return tuple(node.outputs[0].shape[1:])


def check_repeats(node: Any, shapes: Iterable[Shape]) -> None:
    """Raise SpecError unless arrays of some shapes only have to be repeated to be the output."""
    whole = get_shape(node)
    for shape in shapes:
        own = list(shape)
        while own and own[0] == 1:
            own.pop(0)
        if tuple(own) != whole[len(whole) - len(own) :]:
            raise refuse_call(node)


def write_affine(program: Program, node: Any, x: ArrayRef, scale: Any, offset: Any) -> ArrayRef:
    """Write x * scale + offset: numbers, vectors (C,), or arrays of the shape of x.

    Raises SpecError for constants of another shape.
    """
    check_repeats(node, [np.shape(scale), np.shape(offset)])
    if get_shape(node) != x.shape:
        raise refuse_call(node)
    return program.add_step("affine", [x], x.shape, {"scale": scale, "offset": offset})
