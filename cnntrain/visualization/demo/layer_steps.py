"""The steps of layers: convolutions, units, pools, activations, norms."""

import math
from functools import partial
from typing import Any

import keras
import numpy as np

from cnntrain.analysis.receptive_field import compute_front_padding, find_window
from cnntrain.visualization.demo.calls import Writer, get_shape, refuse_call, write_affine
from cnntrain.visualization.demo.program import ArrayRef, Program, Shape

# The operation and the settings of an activation function, by its name in Keras.
FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("relu", {"slope": 0, "most": None}),
    "relu6": ("relu", {"slope": 0, "most": 6}),
    "elu": ("elu", {"scale": 1, "alpha": 1}),
    # Klambauer et al. 2017, arXiv:1706.02515
    "selu": ("elu", {"scale": 1.0507009873554805, "alpha": 1.6732632423543772}),
    "tanh": ("tanh", {}),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "gelu": ("gelu", {}),
}


def keep_input(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write nothing for a layer, such as a dropout, that passes its input on."""
    return inputs[0]


# Convolutions, units and pools.


def write_convolution(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a convolution, in groups or depthwise, and its activation."""
    layer, [x] = node.operation, inputs
    is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    groups = x.shape[-1] if is_depthwise else layer.groups
    x = slide_kernel(program, node, x, layer.kernel, layer.bias, groups)
    return write_activation(program, node, [x])


def write_separable_convolution(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a depthwise convolution, the pointwise one behind it, and the activation."""
    layer, [x] = node.operation, inputs
    x = slide_kernel(program, node, x, layer.depthwise_kernel, None, x.shape[-1])
    x = connect_units(program, x, layer.pointwise_kernel, layer.bias)
    return write_activation(program, node, [x])


def write_dense(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a dense layer and its activation."""
    x = connect_units(program, inputs[0], node.operation.kernel, node.operation.bias)
    return write_activation(program, node, [x])


def slide_kernel(
    program: Program, node: Any, x: ArrayRef, kernel: Any, bias: Any, groups: int
) -> ArrayRef:
    """Write a step that slides a kernel (h, w, channels / groups, filters) over x (H, W, C).

    A depthwise kernel (h, w, C, multiplier) has the same numbers in the same order.
    """
    kernel = np.asarray(kernel)
    filters = kernel.size // (math.prod(kernel.shape[:2]) * (x.shape[-1] // groups))
    weights = {"kernel": kernel, "bias": np.zeros(filters) if bias is None else bias}
    window = describe_window(node, x.shape)
    shape = (*get_shape(node)[:2], filters)
    return program.add_step("conv", [x], shape, weights, groups=groups, **window)


def connect_units(program: Program, x: ArrayRef, kernel: Any, bias: Any) -> ArrayRef:
    """Write a step that multiplies the last axis of x by a kernel (length, units)."""
    length, units = np.shape(kernel)[-2:]
    weights = {"kernel": kernel, "bias": np.zeros(units) if bias is None else bias}
    return program.add_step("dense", [x], (*x.shape[:-1], units), weights, length=length)


def describe_window(node: Any, shape: Shape) -> dict[str, Any]:
    """Return how the window of a convolution or pool slides over an input of `shape`."""
    window = find_window(node)
    assert window is not None
    before = compute_front_padding(node, window, shape)
    return {"size": window.size, "strides": window.strides, "dilation": window.dilation,
            "before": before}  # fmt: skip


def write_pool(program: Program, node: Any, inputs: list[ArrayRef], *, operation: str) -> ArrayRef:
    """Write a pool of the largest or the mean number of each window."""
    [x] = inputs
    window = describe_window(node, x.shape)
    return program.add_step(operation, [x], get_shape(node), groups=x.shape[-1], **window)


def write_global_pool(
    program: Program, node: Any, inputs: list[ArrayRef], *, operation: str
) -> ArrayRef:
    """Write a pool whose only window is the whole array."""
    [x] = inputs
    window: dict[str, Any] = {"size": x.shape[:2], "strides": (1, 1), "dilation": (1, 1)}
    shape = (1, 1, x.shape[-1])
    x = program.add_step(operation, [x], shape, groups=shape[-1], before=(0, 0), **window)
    return program.add_step("reshape", [x], get_shape(node))


# Activations and norms.


def write_activation(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write the activation function that a layer has."""
    function = node.operation.activation
    return write_function(program, node, inputs, name=getattr(function, "__name__", ""))


def write_function(program: Program, node: Any, inputs: list[ArrayRef], *, name: str) -> ArrayRef:
    """Write an activation function by its name in Keras."""
    [x] = inputs
    if name == "linear":
        return x
    if name == "softmax":
        if getattr(node.operation, "axis", -1) not in (-1, len(x.shape)):
            raise refuse_call(node)
        return program.add_step("softmax", [x], x.shape, length=x.shape[-1])
    if name not in FUNCTIONS:
        raise refuse_call(node)
    operation, settings = FUNCTIONS[name]
    return program.add_step(operation, [x], x.shape, **settings)


def write_gelu(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write `ops.gelu`, exact or by its approximation with tanh."""
    operation = "geluByTanh" if node.operation.approximate else "gelu"
    return program.add_step(operation, inputs, get_shape(node))


def write_relu_layer(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a layer ReLU or LeakyReLU."""
    layer = node.operation
    if getattr(layer, "threshold", 0):
        raise refuse_call(node)
    most = getattr(layer, "max_value", None)
    slope = float(layer.negative_slope)
    return program.add_step("relu", inputs, get_shape(node), slope=slope, most=most)


def write_rescaling(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a Rescaling; its constants may be one for all, for each channel, or for each pixel."""
    return write_affine(program, node, inputs[0], node.operation.scale, node.operation.offset)


def write_batch_norm(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a batch norm with its moving statistics as one factor and summand a channel."""
    layer, [x] = node.operation, inputs
    if layer.axis not in (-1, len(x.shape)):
        raise refuse_call(node)
    mean, variance = (np.asarray(v, np.float64) for v in (layer.moving_mean, layer.moving_variance))
    scale = (1 if layer.gamma is None else np.asarray(layer.gamma)) / np.sqrt(
        variance + layer.epsilon
    )
    offset = (0 if layer.beta is None else np.asarray(layer.beta)) - mean * scale
    return write_affine(program, node, x, scale, offset)


def write_layer_norm(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a layer norm over the last axis."""
    layer, [x] = node.operation, inputs
    if layer.axis not in (-1, [-1], len(x.shape), [len(x.shape)]) or layer.rms_scaling:
        raise refuse_call(node)
    scale = 1 if layer.gamma is None else layer.gamma
    offset = 0 if layer.beta is None else layer.beta
    x = program.add_step("layerNorm", [x], x.shape, length=x.shape[-1], epsilon=layer.epsilon)
    return write_affine(program, node, x, scale, offset)


def write_constant_norm(program: Program, node: Any, inputs: list[ArrayRef]) -> ArrayRef:
    """Write a layer Normalization, whose mean and variance are constants."""
    layer = node.operation
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), 1e-7)
    offset = -np.asarray(layer.mean) / deviation
    return write_affine(program, node, inputs[0], 1 / deviation, offset)


def write_row_step(
    program: Program, node: Any, inputs: list[ArrayRef], *, operation: str
) -> ArrayRef:
    """Write an operation on the rows along the last axis."""
    [x] = inputs
    axis = node.operation.axis
    if axis not in (-1, [-1], (-1,), len(x.shape), [len(x.shape)]):
        raise refuse_call(node)
    return program.add_step(operation, [x], get_shape(node), length=x.shape[-1])


LAYER_WRITERS: dict[str, Writer] = {
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "Identity", "Cast"), keep_input),
    "Conv2D": write_convolution,
    "DepthwiseConv2D": write_convolution,
    "SeparableConv2D": write_separable_convolution,
    "Dense": write_dense,
    "MaxPooling2D": partial(write_pool, operation="maxPool"),
    "AveragePooling2D": partial(write_pool, operation="averagePool"),
    "GlobalMaxPooling2D": partial(write_global_pool, operation="maxPool"),
    "GlobalAveragePooling2D": partial(write_global_pool, operation="averagePool"),
    "Activation": write_activation,
    "ReLU": write_relu_layer,
    "LeakyReLU": write_relu_layer,
    "Relu": partial(write_function, name="relu"),
    "Relu6": partial(write_function, name="relu6"),
    "Tanh": partial(write_function, name="tanh"),
    "Sigmoid": partial(write_function, name="sigmoid"),
    "Silu": partial(write_function, name="silu"),
    "Softmax": partial(write_function, name="softmax"),
    "Gelu": write_gelu,
    "Rescaling": write_rescaling,
    "BatchNormalization": write_batch_norm,
    "LayerNormalization": write_layer_norm,
    "Normalization": write_constant_norm,
    "UnitNormalization": partial(write_row_step, operation="unitNorm"),
    "Max": partial(write_row_step, operation="largest"),
    "Sum": partial(write_row_step, operation="total"),
}
