"""Estimate the activations that training keeps for the backward pass, from the network's graph.

TensorFlow keeps a tensor until the last gradient that reads it is computed. Which these are
follows from the derivative of each layer: a convolution's needs what went in, ReLU's what came
out, that of an addition neither. So a convolution, its batch norm and its ReLU keep two tensors,
not three. `tests/analysis/test_kept_activations.py` compares these rules with the gradients of
TensorFlow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from cnntrain.analysis.graph import GraphTensor, GraphWalk, name_activation
from cnntrain.analysis.receptive_field import make_image_field

# What the derivative of a layer or an operation reads: its input, its output, or neither. The
# derivative of a kind that is not listed is taken to read both.
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
# These layers return the numbers of their input in another shape and take no memory of their own.
VIEW_LAYERS = ("Flatten", "Reshape", "Identity", "Squeeze", "ExpandDims", "InputLayer")
NORM_LAYERS = ("BatchNormalization", "LayerNormalization")  # computed in float32 for any input
# How many tensors of the input's size the backward pass of a layer has at once, besides those that
# are kept: batch norm is not one operation in Keras 3, but a dozen.
WORKSPACE_TENSORS = {"BatchNormalization": 4, "LayerNormalization": 4}
DEFAULT_WORKSPACE_TENSORS = 2  # the gradients of the output and of the input
GELU_TENSORS = 3  # tensors that TensorFlow keeps of a GELU: x / 2, x / sqrt(2) and 1 + erf
# Activations within a layer (`activation="relu"`) whose derivatives read their output.
OUTPUT_ACTIVATIONS = ("relu", "tanh", "sigmoid", "softmax", "linear")


@dataclass(frozen=True, eq=False)
class Buffer:
    """A tensor in memory: its bytes for one image, and whether a gradient passes through it."""

    bytes: int
    has_gradient: bool


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: the buffers that its derivative reads, and its workspace."""

    layer: str
    saved_buffers: tuple[Buffer, ...]
    workspace_bytes: int


@dataclass(frozen=True)
class ActivationMemory:
    """Bytes of activations for one image.

    `kept_bytes` are kept for the backward pass; at most `peak_bytes` are alive at once, workspace
    included. `bytes_by_layer` counts a buffer for the first layer whose derivative reads it, so
    that it adds up to `kept_bytes`.
    """

    kept_bytes: int
    peak_bytes: int
    bytes_by_layer: dict[str, int]


def estimate_activations(network: keras.Model) -> ActivationMemory:
    """Return the memory that the activations of a training step take for each image of a batch.

    A layer keeps nothing if neither it nor any layer below it trains.
    """
    walk = ActivationWalk()
    walk(
        network,
        [GraphTensor(tensor, make_image_field(tensor.shape[1:])) for tensor in network.inputs],
        "",
    )
    # The backward pass goes through the calls in reverse: the first reader frees the buffer.
    first = dict[Buffer, int]()
    for number, call in enumerate(walk.calls):
        for buffer in call.saved_buffers:
            first.setdefault(buffer, number)
    bytes_by_layer = dict[str, int]()
    for buffer, number in first.items():
        layer = walk.calls[number].layer
        bytes_by_layer[layer] = bytes_by_layer.get(layer, 0) + buffer.bytes
    kept = sum(buffer.bytes for buffer in first)
    peak = max(compute_peak_bytes(walk.calls, first), kept)
    return ActivationMemory(kept, peak, bytes_by_layer)


def compute_peak_bytes(calls: Sequence[LayerCall], first: dict[Buffer, int]) -> int:
    """Return the most bytes that are alive at once while the calls are gone through backward.

    `first` maps each buffer to the number of the first call whose derivative reads it.
    """
    freed = [0] * (len(calls) + 1)  # by call: the bytes that its backward step lets go
    for buffer, number in first.items():
        freed[number] += buffer.bytes
    live, most = sum(freed), 0
    for number in reversed(range(len(calls))):
        most = max(most, live + calls[number].workspace_bytes)
        live -= freed[number]
    return most


class ActivationWalk(GraphWalk):
    """A `GraphWalk` that also collects, for each call, the buffers that its derivative reads."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LayerCall] = []
        self.buffers: dict[int, Buffer] = {}
        self.seen: list[GraphTensor] = []  # held, so that no other object gets their ids

    def visit_node(self, node: Any, sources: list[GraphTensor], name: str) -> list[GraphTensor]:
        """Add the `LayerCall` of one call of a layer or operation; return its outputs."""
        outputs = super().visit_node(node, sources, name)
        operation, kind = node.operation, type(node.operation).__name__
        into = [self.get_buffer(source) for source in sources]
        trains = bool(getattr(operation, "trainable_weights", ()))
        learns = trains or any(buffer.has_gradient for buffer in into)
        if kind in VIEW_LAYERS and len(into) == 1:
            out = into * len(outputs)
        else:
            out = [Buffer(count_signal_bytes(signal), learns) for signal in outputs]
        for signal, buffer in zip(outputs, out, strict=True):
            self.buffers[id(signal)] = buffer
        self.seen += outputs
        if learns and kind not in VIEW_LAYERS:
            reads = tuple(find_saved_buffers(node, into, out, outputs))
            work = WORKSPACE_TENSORS.get(kind, DEFAULT_WORKSPACE_TENSORS) * max(
                b.bytes for b in [*into, *out]
            )
            self.calls.append(LayerCall(name, reads, work))
        return outputs

    def get_buffer(self, signal: GraphTensor) -> Buffer:
        """Return the buffer of a tensor; an input of the network gets one without gradient."""
        if id(signal) not in self.buffers:
            self.buffers[id(signal)] = Buffer(count_signal_bytes(signal), False)
            self.seen.append(signal)
        return self.buffers[id(signal)]


def count_signal_bytes(signal: GraphTensor) -> int:
    """Return the bytes of a tensor for one image."""
    return math.prod(signal.shape) * count_dtype_bytes(signal.tensor.dtype)


def count_dtype_bytes(dtype: str) -> int:
    """Return the bytes of one number of `dtype`: 2 for bfloat16, 4 for float32, 1 for bool."""
    bits = "".join(letter for letter in dtype if letter.isdigit())
    return int(bits) // 8 if bits else 1


def find_saved_buffers(
    node: Any, into: list[Buffer], out: list[Buffer], outputs: list[GraphTensor]
) -> list[Buffer]:
    """Return the buffers that the derivative of a call reads, given its input and output ones."""
    operation, kind = node.operation, type(node.operation).__name__
    inner = name_activation(operation) or "linear"
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
        return []  # by a constant, which is all that the derivative reads
    if "Dropout" in kind:
        # The mask of the units that stay: one byte each.
        return [Buffer(math.prod(signal.shape), True) for signal in outputs]
    reads = [] if kind in READS_NEITHER or kind in READS_OUTPUT else list(into)
    if kind.startswith("SeparableConv"):  # between its two convolutions
        reads.append(make_depthwise_buffer(operation, outputs[0]))
    if kind not in READS_NEITHER and kind not in READS_INPUT:
        reads += out
    return reads + find_activation_buffers(inner, out)


def find_activation_buffers(name: str, out: list[Buffer]) -> list[Buffer]:
    """Return the buffers that the derivative of the activation within a layer reads.

    Those are the layer's outputs `out`, or tensors of their size that the layer does not return.
    """
    if name == "linear":
        return []
    if name in OUTPUT_ACTIVATIONS:
        return out
    copies = GELU_TENSORS if name == "gelu" else 1
    return [Buffer(buffer.bytes, True) for buffer in out for _ in range(copies)]


def widen_buffer(buffer: Buffer, dtype: str) -> Buffer:
    """Return the buffer of a norm's input in float32: a copy, unless it is float32 already."""
    return buffer if count_dtype_bytes(dtype) >= 4 else Buffer(2 * buffer.bytes, True)


def copy_buffer(buffer: Buffer) -> Buffer:
    """Return the buffer of a second tensor of the same size.

    A layer norm keeps one more, because Keras multiplies its two scales before it applies them.
    """
    return Buffer(buffer.bytes, True)


def make_depthwise_buffer(operation: Any, output: GraphTensor) -> Buffer:
    """Return the buffer between the two convolutions of a separable one."""
    positions, channels = math.prod(output.shape[:-1]), operation.depthwise_kernel.shape[-2:]
    return Buffer(positions * math.prod(channels) * count_dtype_bytes(output.tensor.dtype), True)
