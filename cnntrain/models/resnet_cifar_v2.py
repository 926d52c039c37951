"""ResNets with pre-activation for 32x32 images: deep (He et al. 2016) or wide (Zagoruyko 2016).

Batch normalisation and ReLU come before each convolution (arXiv:1603.05027), so that the path along
the shortcuts is free of both. Wide networks (arXiv:1605.07146) have few blocks with many filters.
"""

from functools import partial
from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.models.parts.deep import chain_blocks
from cnntrain.spec.knobs import Count, Depth, Probability

FILTERS = [16, 32, 64]
# How the authors count layers: those of one block in each stage, and besides them the stem and the
# head (bottleneck), or the stem and the three projections (basic).
DEPTHS = {"bottleneck": (9, 2), "basic": (6, 4)}
# The output channels of a block, divided by its filters.
EXPANSION = {"bottleneck": 4, "basic": 1}


def resnet_cifar_v2(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: Depth,
    block: Literal["bottleneck", "basic"],
    width: Count,
    dropout: Probability,
) -> keras.Model:
    """Return a pre-activation ResNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    Each of the three stages has n blocks: `depth` is 9n+2 with bottlenecks and 6n+4 with basic
    blocks. `width` multiplies the filters of the blocks; `dropout` comes before their last
    convolution. Raises SpecError for another depth, and for images below 8x8.
    """
    blocks = count_blocks_per_stage(depth, block)
    if min(image_shape[:2]) < 8:
        raise SpecError(
            f"model=resnet_cifar_v2 got {image_shape[0]}x{image_shape[1]} images",
            "8x8 or larger",
            "dataset.image_size=[32,32]",
        )
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = conv(inputs, FILTERS[0], 3)  # (H, W, 16)
    units = [
        partial(
            residual_unit,
            filters=filters * width,
            strides=2 if stage > 0 and number == 0 else 1,
            block=block,
            dropout=dropout,
        )
        for stage, filters in enumerate(FILTERS)
        for number in range(blocks)
    ]
    x = chain_blocks(x, units)
    x = norm_relu(x)  # (H/4, W/4, 64 * width), four times as many channels with bottlenecks
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name=f"resnet{depth}_v2_{width}")


def count_blocks_per_stage(depth: int, block: str) -> int:
    """Return the blocks of each stage; raise SpecError if no number gives this depth."""
    per_block, others = DEPTHS[block]
    if depth < per_block + others or (depth - others) % per_block:
        n = max(1, round((depth - others) / per_block))
        raise SpecError(
            f"model.depth is {depth} and model.block is {block}",
            f"{per_block}n+{others}, n from 1",
            f"model.depth={per_block * n + others}",
        )
    return (depth - others) // per_block


def residual_unit(
    x: keras.KerasTensor, filters: int, strides: int, block: str, dropout: float
) -> keras.KerasTensor:
    """Apply a residual unit; where the channels change, branch and projection share their input.

    A bottleneck has its stride in the first convolution, as in the authors' code.
    """
    activated = norm_relu(x)
    channels = EXPANSION[block] * filters
    if x.shape[-1] != channels:
        x = conv(activated, channels, 1, strides)
    if block == "bottleneck":
        y = norm_relu(conv(activated, filters, 1, strides))
        y = norm_relu(conv(y, filters, 3))
    else:
        y = norm_relu(conv(activated, filters, 3, strides))
    if dropout:
        y = layers.Dropout(dropout)(y)
    y = conv(y, channels, 1 if block == "bottleneck" else 3)
    return layers.Add()([x, y])


def norm_relu(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU()(layers.BatchNormalization()(x))


def conv(x: keras.KerasTensor, filters: int, kernel: int, strides: int = 1) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
