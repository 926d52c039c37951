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

from cnntrain.analysis.graph import GraphTensor, GraphWalk
from cnntrain.analysis.receptive_field import make_image_field

# What the derivative of a layer or an operation reads; of what is not listed, both.
READS_INPUT = (
    *("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "Conv", "DepthwiseConv"),
    *("SeparableConv1D", "SeparableConv2D", "Dense", "Matmul", "BatchNormalization"),
    *("LayerNormalization", "LayerScale", "LeakyReLU", "PReLU", "Silu"),
    *("Multiply", "Square", "Power", "Absolute"),
)
READS_OUTPUT = ("ReLU", "Relu", "Tanh", "Sigmoid", "Softmax", "Sqrt", "Exp")
READS_NEITHER = (
    *("Add", "Subtract", "Negative", "Sum", "Mean", "Average", "Concatenate", "Rescaling", "Cast"),
    *("AveragePooling2D", "GlobalAveragePooling2D", "AveragePool", "UpSampling2D"),
    *("ZeroPadding2D", "Pad", "Cropping2D", "Split", "GetItem", "Take", "Repeat", "Flip"),
)
# The same numbers under another shape: no memory of their own.
VIEW_LAYERS = ("Flatten", "Reshape", "Identity", "Squeeze", "ExpandDims", "InputLayer")
NORM_LAYERS = ("BatchNormalization", "LayerNormalization")  # computed in float32, whatever goes in
# Tensors of the size of what goes in that the backward pass of a layer has at once, besides those
# that are kept: batch norm is not one operation in Keras 3, but a dozen.
WORKSPACE_TENSORS = {"BatchNormalization": 4, "LayerNormalization": 4}
DEFAULT_WORKSPACE_TENSORS = 2  # the gradients of what came out and of what went in
# Activations within a layer (`activation="relu"`) by what their derivatives read.
GELU_TENSORS = 3  # tensors that TensorFlow keeps of it: x / 2, x / sqrt(2) and 1 + erf
OUTPUT_ACTIVATIONS = ("relu", "tanh", "sigmoid", "softmax", "linear")


@dataclass(frozen=True, eq=False)
class Buffer:
    """A tensor in memory: bytes for one image, and whether a gradient goes through it."""

    bytes: int
    has_gradient: bool


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: the buffers that its derivative reads, and its bytes at work."""

    layer: str
    saved_buffers: tuple[Buffer, ...]
    workspace_bytes: int


@dataclass(frozen=True)
class ActivationMemory:
    """Bytes for one image: `kept` for the backward pass, `peak` at once, `of` each layer.

    `of` has what each layer is the first to need: the sum is `kept`.
    """

    kept_bytes: int
    peak_bytes: int
    bytes_by_layer: dict[str, int]


def estimate_activations(network: keras.Model) -> ActivationMemory:
    """Return what a training step of the network keeps and needs for each image of a batch.

    Layers that do not train, and below which none does, keep nothing.
    """
    walk = ActivationWalk()
    walk(
        network,
        [GraphTensor(tensor, make_image_field(tensor.shape[1:])) for tensor in network.inputs],
        "",
    )
    first = dict[Buffer, int]()  # the first call that reads a buffer is the last one backward
    for number, call in enumerate(walk.calls):
        for buffer in call.saved_buffers:
            first.setdefault(buffer, number)
    of = dict[str, int]()
    for buffer, number in first.items():
        layer = walk.calls[number].layer
        of[layer] = of.get(layer, 0) + buffer.bytes
    kept = sum(buffer.bytes for buffer in first)
    return ActivationMemory(kept, max(compute_peak_bytes(walk.calls, first), kept), of)


def compute_peak_bytes(calls: Sequence[LayerCall], first: dict[Buffer, int]) -> int:
    """The most bytes at once, going through the calls backward."""
    done = [0] * (len(calls) + 1)  # bytes that the calls from a number on were the first to read
    for buffer, number in first.items():
        done[number] += buffer.bytes
    live, most = sum(done), 0
    for number in reversed(range(len(calls))):
        most = max(most, live + calls[number].workspace_bytes)
        live -= done[number]
    return most


class ActivationWalk(GraphWalk):
    """A walk through a graph that notes what each derivative reads."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LayerCall] = []
        self.buffers: dict[int, Buffer] = {}
        self.seen: list[GraphTensor] = []  # kept, so that their ids stay theirs

    def visit_node(self, node: Any, sources: list[GraphTensor], name: str) -> list[GraphTensor]:
        """One call of one layer or operation."""
        made = super().visit_node(node, sources, name)
        operation, kind = node.operation, type(node.operation).__name__
        into = [self.get_buffer(source) for source in sources]
        trains = bool(getattr(operation, "trainable_weights", ()))
        learns = trains or any(buffer.has_gradient for buffer in into)
        if kind in VIEW_LAYERS and len(into) == 1:
            out = into * len(made)
        else:
            out = [Buffer(count_signal_bytes(signal), learns) for signal in made]
        for signal, buffer in zip(made, out, strict=True):
            self.buffers[id(signal)] = buffer
        self.seen += made
        if learns and kind not in VIEW_LAYERS:
            reads = tuple(find_saved_buffers(node, into, out, made))
            work = WORKSPACE_TENSORS.get(kind, DEFAULT_WORKSPACE_TENSORS) * max(
                b.bytes for b in [*into, *out]
            )
            self.calls.append(LayerCall(name, reads, work))
        return made

    def get_buffer(self, signal: GraphTensor) -> Buffer:
        """The buffer of a signal; one that no call made is the network's input."""
        if id(signal) not in self.buffers:
            self.buffers[id(signal)] = Buffer(count_signal_bytes(signal), False)
            self.seen.append(signal)
        return self.buffers[id(signal)]


def count_signal_bytes(signal: GraphTensor) -> int:
    """The bytes of a tensor for one image."""
    return math.prod(signal.shape) * count_dtype_bytes(signal.tensor.dtype)


def count_dtype_bytes(dtype: str) -> int:
    """The bytes of a number: 2 of bfloat16, 4 of float32."""
    bits = "".join(letter for letter in dtype if letter.isdigit())
    return int(bits) // 8 if bits else 1


def find_saved_buffers(
    node: Any, into: list[Buffer], out: list[Buffer], made: list[GraphTensor]
) -> list[Buffer]:
    """The buffers that the derivative of a call reads."""
    operation, kind = node.operation, type(node.operation).__name__
    inner = get_activation_name(operation)
    if getattr(operation, "weights", ()) and not operation.trainable_weights:
        return find_activation_buffers(inner, out)
    if kind in NORM_LAYERS:
        copies = [widen_buffer(buffer, node.input_tensors[0].dtype) for buffer in into]
        return copies if kind == "BatchNormalization" else [*copies, *map(copy_buffer, copies)]
    if kind == "Gelu":
        return find_activation_buffers("gelu", out)
    if kind == "Activation":
        return (
            into
            if inner not in (*OUTPUT_ACTIVATIONS, "gelu")
            else find_activation_buffers(inner, out)
        )
    if kind in ("Multiply", "TrueDivide") and len(into) == 1:
        return []  # times a number
    if "Dropout" in kind:
        return [Buffer(math.prod(signal.shape), True) for signal in made]  # who stays, as bools
    reads = [] if kind in READS_NEITHER or kind in READS_OUTPUT else list(into)
    if kind.startswith("SeparableConv"):  # between its two convolutions
        reads.append(make_depthwise_buffer(operation, made[0]))
    if kind not in READS_NEITHER and kind not in READS_INPUT:
        reads += out
    return reads + find_activation_buffers(inner, out)


def get_activation_name(operation: Any) -> str:
    """The name of the activation within a layer."""
    return getattr(getattr(operation, "activation", None), "__name__", "linear")


def find_activation_buffers(name: str, out: list[Buffer]) -> list[Buffer]:
    """What the derivative of an activation within a layer reads: what came out, or went in."""
    if name == "linear":
        return []
    if name in OUTPUT_ACTIVATIONS:
        return out
    copies = GELU_TENSORS if name == "gelu" else 1
    return [Buffer(buffer.bytes, True) for buffer in out for _ in range(copies)]


def widen_buffer(buffer: Buffer, dtype: str) -> Buffer:
    """What goes into a norm as float32: a copy where it is not that already."""
    return buffer if count_dtype_bytes(dtype) >= 4 else Buffer(2 * buffer.bytes, True)


def copy_buffer(buffer: Buffer) -> Buffer:
    """Another tensor of the same size: Keras multiplies a layer norm's two scales first."""
    return Buffer(buffer.bytes, True)


def make_depthwise_buffer(operation: Any, made: GraphTensor) -> Buffer:
    """What the depthwise part of a separable convolution makes."""
    positions, channels = math.prod(made.shape[:-1]), operation.depthwise_kernel.shape[-2:]
    return Buffer(positions * math.prod(channels) * count_dtype_bytes(made.tensor.dtype), True)
