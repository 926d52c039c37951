"""Fixup: ResNets for 32x32 images without batch normalisation (Zhang, Dauphin & Ma 2019).

arXiv:1901.09321. Every branch is zero at first, so that the network is only its shortcuts and no
variance explodes with the depth. Scalar biases and multipliers replace those of the norms.
"""

from typing import Literal

import keras
from keras import initializers, layers, ops

from cnntrain.errors import SpecError

FILTERS = [16, 32, 64]
CONVS = 2  # m of the paper: the convolutions of a branch


def resnet_fixup(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: Literal[8, 14, 20, 26, 32, 38, 44, 50, 56, 110],
) -> keras.Model:
    """Return a ResNet of 6n+2 layers: float images (B, H, W, C) in, logits (B, num_classes) out.

    Its shortcuts pad with zeros. The model's `pretrained` names the layers whose first weights
    Fixup gives: the last convolution of each branch and the head are zero, and the first
    convolutions are He's times L^(-1/(2m-2)), with L branches of m convolutions. Only the stem is
    left to initialize. Raises SpecError for images below 8x8.
    """
    if min(image_shape[:2]) < 8:
        raise SpecError(
            f"model=resnet_fixup got {image_shape[0]}x{image_shape[1]} images",
            "8x8 or larger",
            "dataset.image_size=[32,32]",
        )
    blocks = (depth - 2) // 6
    factor = (len(FILTERS) * blocks) ** (-1 / (2 * CONVS - 2))
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = layers.Conv2D(FILTERS[0], 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(x - trainable_scalar(x, 0))  # (H, W, 16)
    for stage, filters in enumerate(FILTERS, 1):
        for number in range(1, blocks + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            x = block(x, filters, strides, factor, f"stage{stage}_block{number}")
    # (H/4, W/4, 64)
    x = layers.GlobalAveragePooling2D()(x)  # (64,)
    x = x - trainable_scalar(x, 0)
    logits = layers.Dense(num_classes, dtype="float32", kernel_initializer="zeros", name="logits")(
        x
    )
    network = keras.Model(inputs, logits, name=f"resnet{depth}_fixup")
    names = [layer.name for layer in network.layers]
    network.pretrained = tuple(n for n in names if n.endswith(("_conv1", "_conv2", "logits")))
    return network


def block(
    x: keras.KerasTensor, filters: int, strides: int, factor: float, name: str
) -> keras.KerasTensor:
    """Apply two 3x3 convolutions, each between two scalar biases, and a multiplier (Fig. 1, right).

    The biases are subtracted. TensorFlow takes an addition behind a convolution for a bias of one
    number per channel and fuses the two, which fails for some batch sizes. The biases begin as 0
    and only the sign of their gradients changes, so that training is the same.
    """
    scaled = initializers.VarianceScaling(2 * factor**2, "fan_in", "truncated_normal")
    shifted = x - trainable_scalar(x, 0)
    y = conv(shifted, filters, strides, scaled, f"{name}_conv1")
    y = layers.ReLU()(y - trainable_scalar(y, 0))
    y = conv(y - trainable_scalar(y, 0), filters, 1, initializers.Zeros(), f"{name}_conv2")
    y = y * trainable_scalar(y, 1) - trainable_scalar(y, 0)
    if strides > 1:
        x = zero_pad(shifted, filters, strides)  # as in the authors' code, with the first bias
    return layers.ReLU()(layers.Add()([x, y]))


def conv(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    initializer: initializers.Initializer,
    name: str,
) -> keras.KerasTensor:
    return layers.Conv2D(
        filters,
        3,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer=initializer,
        name=name,
    )(x)


def trainable_scalar(x: keras.KerasTensor, value: int) -> keras.KerasTensor:
    """Return one trainable number (B, 1, ...) that begins as `value` and broadcasts to `x`.

    No layer of Keras is just that. A layer normalisation without scale returns its beta where its
    input is constant, which here is one zero for each image. As a vector beta has no weight decay.
    """
    zero = ops.zeros_like(x[..., :1] if len(x.shape) == 2 else x[:, :1, :1, :1])
    return layers.LayerNormalization(scale=False, beta_initializer="ones" if value else "zeros")(
        zero
    )


def zero_pad(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    """Take every second pixel, and append the missing channels as zeros."""
    missing = filters - x.shape[-1]
    return ops.pad(x[:, ::strides, ::strides, :], [[0, 0], [0, 0], [0, 0], [0, missing]])
