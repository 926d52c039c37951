"""ResNets for 32x32 images (He et al., 2015, arXiv:1512.03385, section 4.2)."""

from functools import partial
from typing import Literal

import keras
from keras import layers, ops

from cnntrain.errors import SpecError
from cnntrain.models.parts.deep import chain_blocks

FILTERS = [16, 32, 64]


def resnet_cifar(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: Literal[8, 14, 20, 26, 32, 38, 44, 50, 56, 110, 1202],
    shortcut: Literal["A", "B", "none"],
) -> keras.Model:
    """Return a ResNet of 6n+2 layers: float images (B, H, W, C) in, logits (B, num_classes) out.

    Where the size changes, `shortcut` A pads the new channels with zeros and adds no parameters,
    and B is a 1x1 projection; `none` leaves out all shortcuts, for the plain networks of the
    comparison. Raises SpecError for images below 8x8.
    """
    if min(image_shape[:2]) < 8:
        raise SpecError(
            f"model=resnet_cifar got {image_shape[0]}x{image_shape[1]} images",
            "8x8 or larger",
            "dataset.image_size=[32,32]",
        )
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = conv_norm(inputs, FILTERS[0])  # (H, W, 16)
    x = layers.ReLU()(x)
    blocks = [
        partial(
            block,
            filters=filters,
            strides=2 if stage > 0 and number == 0 else 1,
            shortcut=shortcut,
        )
        for stage, filters in enumerate(FILTERS)
        for number in range((depth - 2) // 6)
    ]
    x = chain_blocks(x, blocks)
    # (H/4, W/4, 64)
    x = layers.GlobalAveragePooling2D()(x)  # (64,)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    name = f"plain{depth}" if shortcut == "none" else f"resnet{depth}_v1"
    return keras.Model(inputs, logits, name=name)


def block(x: keras.KerasTensor, filters: int, strides: int, shortcut: str) -> keras.KerasTensor:
    """Apply two 3x3 convolutions and, if any, the shortcut around them (Fig. 2)."""
    y = conv_norm(x, filters, strides=strides)
    y = layers.ReLU()(y)
    y = conv_norm(y, filters)
    if shortcut == "none":
        return layers.ReLU()(y)
    if strides > 1:
        project = conv_norm if shortcut == "B" else zero_pad
        x = project(x, filters, kernel=1, strides=strides)
    return layers.ReLU()(layers.Add()([x, y]))


def conv_norm(
    x: keras.KerasTensor, filters: int, kernel: int = 3, strides: int = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def zero_pad(x: keras.KerasTensor, filters: int, kernel: int, strides: int) -> keras.KerasTensor:
    """Take every second pixel, and pad the channels with zeros on both sides (option A)."""
    missing = filters - x.shape[-1]
    x = x[:, ::strides, ::strides, :]
    return ops.pad(x, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]])
