"""What training keeps of a network's activations for the backward pass, read off its graph.

TensorFlow keeps a tensor until the last gradient that reads it is computed. Which these are
follows from the derivative of each layer: a convolution's needs what went in, ReLU's what came
out, that of an addition neither. So a convolution, its batch norm and its ReLU keep two tensors,
not three. `tests/test_activations.py` holds these rules to TensorFlow's own gradients.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from cnntrain.analysis.graph import Signal, Walk
from cnntrain.analysis.receptive_field import whole

# What the derivative of a layer or an operation reads; of what is not listed, both.
INPUT = (
    *("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "Conv", "DepthwiseConv"),
    *("SeparableConv1D", "SeparableConv2D", "Dense", "Matmul", "BatchNormalization"),
    *("LayerNormalization", "LayerScale", "LeakyReLU", "PReLU", "Silu"),
    *("Multiply", "Square", "Power", "Absolute"),
)
OUTPUT = ("ReLU", "Relu", "Tanh", "Sigmoid", "Softmax", "Sqrt", "Exp")
NEITHER = (
    *("Add", "Subtract", "Negative", "Sum", "Mean", "Average", "Concatenate", "Rescaling", "Cast"),
    *("AveragePooling2D", "GlobalAveragePooling2D", "AveragePool", "UpSampling2D"),
    *("ZeroPadding2D", "Pad", "Cropping2D", "Split", "GetItem", "Take", "Repeat", "Flip"),
)
# The same numbers under another shape: no memory of their own.
VIEWS = ("Flatten", "Reshape", "Identity", "Squeeze", "ExpandDims", "InputLayer")
NORMS = ("BatchNormalization", "LayerNormalization")  # computed in float32, whatever goes in
# Tensors of the size of what goes in that the backward pass of a layer has at once, besides those
# that are kept: batch norm is not one operation in Keras 3, but a dozen.
AT_ONCE = {"BatchNormalization": 4, "LayerNormalization": 4}
USUAL_AT_ONCE = 2  # the gradients of what came out and of what went in
# Activations within a layer (`activation="relu"`) by what their derivatives read.
GELU = 3  # tensors that TensorFlow keeps of it: x / 2, x / sqrt(2) and 1 + erf
OF_OUTPUT = ("relu", "tanh", "sigmoid", "softmax", "linear")


@dataclass(frozen=True, eq=False)
class Buffer:
    """A tensor in memory: bytes for one image, and whether a gradient goes through it."""

    bytes: int
    learns: bool


@dataclass(frozen=True)
class Call:
    """One call of a layer: the buffers that its derivative reads, and its bytes at work."""

    layer: str
    reads: tuple[Buffer, ...]
    made: tuple[Buffer, ...]
    at_once: int


@dataclass(frozen=True)
class Activations:
    """Bytes for one image: `kept` for the backward pass, `peak` at once, `of` each layer.

    `of` has what each layer is the first to need: the sum is `kept`.
    """

    kept: int
    peak: int
    of: dict[str, int]


def activations(network: keras.Model) -> Activations:
    """Return what a training step of the network keeps and needs for each image of a batch.

    Layers that do not train, and below which none does, keep nothing.
    """
    walk = Keeping()
    walk(network, [Signal(tensor, whole(tensor.shape[1:])) for tensor in network.inputs], "")
    first = dict[Buffer, int]()  # the first call that reads a buffer is the last one backward
    for number, call in enumerate(walk.calls):
        for buffer in call.reads:
            first.setdefault(buffer, number)
    of = dict[str, int]()
    for buffer, number in first.items():
        layer = walk.calls[number].layer
        of[layer] = of.get(layer, 0) + buffer.bytes
    kept = sum(buffer.bytes for buffer in first)
    return Activations(kept, max(peak(walk.calls, first), kept), of)


def peak(calls: Sequence[Call], first: dict[Buffer, int]) -> int:
    """The most bytes at once, going through the calls backward."""
    done = [0] * (len(calls) + 1)  # bytes that the calls from a number on were the first to read
    for buffer, number in first.items():
        done[number] += buffer.bytes
    live, most = sum(done), 0
    for number in reversed(range(len(calls))):
        most = max(most, live + calls[number].at_once)
        live -= done[number]
    return most


class Keeping(Walk):
    """A walk through a graph that notes what each derivative reads."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.buffers: dict[int, Buffer] = {}
        self.seen: list[Signal] = []  # kept, so that their ids stay theirs

    def visit(self, node: Any, sources: list[Signal], name: str) -> list[Signal]:
        """One call of one layer or operation."""
        made = super().visit(node, sources, name)
        operation, kind = node.operation, type(node.operation).__name__
        into = [self.buffer(source) for source in sources]
        trains = bool(getattr(operation, "trainable_weights", ()))
        learns = trains or any(buffer.learns for buffer in into)
        if kind in VIEWS and len(into) == 1:
            out = into * len(made)
        else:
            out = [Buffer(size(signal), learns) for signal in made]
        for signal, buffer in zip(made, out, strict=True):
            self.buffers[id(signal)] = buffer
        self.seen += made
        if learns and kind not in VIEWS:
            reads = tuple(reads_of(node, into, out, made))
            work = AT_ONCE.get(kind, USUAL_AT_ONCE) * max(b.bytes for b in [*into, *out])
            self.calls.append(Call(name, reads, tuple(out), work))
        return made

    def buffer(self, signal: Signal) -> Buffer:
        """The buffer of a signal; one that no call made is the network's input."""
        if id(signal) not in self.buffers:
            self.buffers[id(signal)] = Buffer(size(signal), False)
            self.seen.append(signal)
        return self.buffers[id(signal)]


def size(signal: Signal) -> int:
    """The bytes of a tensor for one image."""
    return math.prod(signal.shape) * width(signal.tensor.dtype)


def width(dtype: str) -> int:
    """The bytes of a number: 2 of bfloat16, 4 of float32."""
    bits = "".join(letter for letter in dtype if letter.isdigit())
    return int(bits) // 8 if bits else 1


def reads_of(node: Any, into: list[Buffer], out: list[Buffer], made: list[Signal]) -> list[Buffer]:
    """The buffers that the derivative of a call reads."""
    operation, kind = node.operation, type(node.operation).__name__
    inner = activation_of(operation)
    if getattr(operation, "weights", ()) and not operation.trainable_weights:
        return of_activation(inner, out)
    if kind in NORMS:
        copies = [wide(buffer, node.input_tensors[0].dtype) for buffer in into]
        return copies if kind == "BatchNormalization" else [*copies, *map(again, copies)]
    if kind == "Gelu":
        return of_activation("gelu", out)
    if kind == "Activation":
        return into if inner not in (*OF_OUTPUT, "gelu") else of_activation(inner, out)
    if kind in ("Multiply", "TrueDivide") and len(into) == 1:
        return []  # times a number
    if "Dropout" in kind:
        return [Buffer(math.prod(signal.shape), True) for signal in made]  # who stays, as bools
    reads = [] if kind in NEITHER or kind in OUTPUT else list(into)
    if kind.startswith("SeparableConv"):  # between its two convolutions
        reads.append(between(operation, into[0], made[0]))
    if kind not in NEITHER and kind not in INPUT:
        reads += out
    return reads + of_activation(inner, out)


def activation_of(operation: Any) -> str:
    """The name of the activation within a layer."""
    return getattr(getattr(operation, "activation", None), "__name__", "linear")


def of_activation(name: str, out: list[Buffer]) -> list[Buffer]:
    """What the derivative of an activation within a layer reads: what came out, or went in."""
    if name == "linear":
        return []
    if name in OF_OUTPUT:
        return out
    copies = GELU if name == "gelu" else 1
    return [Buffer(buffer.bytes, True) for buffer in out for _ in range(copies)]


def wide(buffer: Buffer, dtype: str) -> Buffer:
    """What goes into a norm as float32: a copy where it is not that already."""
    return buffer if width(dtype) >= 4 else Buffer(2 * buffer.bytes, True)


def again(buffer: Buffer) -> Buffer:
    """Another tensor of the same size: Keras multiplies a layer norm's two scales first."""
    return Buffer(buffer.bytes, True)


def between(operation: Any, into: Buffer, made: Signal) -> Buffer:
    """What the depthwise part of a separable convolution makes."""
    positions, channels = math.prod(made.shape[:-1]), operation.depthwise_kernel.shape[-2:]
    return Buffer(positions * math.prod(channels) * width(made.tensor.dtype), True)
