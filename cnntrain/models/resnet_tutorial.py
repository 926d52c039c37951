"""The ResNet of course notes: 6n+2 layers after Keras' CIFAR-10 example, on larger photos."""

from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count

FILTERS = [16, 32, 64]


def resnet_tutorial(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: Literal[8, 14, 20, 26, 32, 38, 44, 50, 56, 110],
    pool: Count,
) -> keras.Model:
    """Return the tutorials' ResNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    It differs from the paper's in three ways: every convolution has a bias, the projections have no
    batch norm, and the head flattens the result of an average pool of `pool` pixels.
    Raises SpecError if the images are so small that the pool leaves nothing.
    """
    smallest = 4 * (pool - 1) + 1  # two stages halve, and round up
    if min(image_shape[:2]) < smallest:
        raise SpecError(
            f"model.pool is {pool} and the images are {image_shape[0]}x{image_shape[1]}",
            f"images of {smallest}x{smallest} or larger",
            f"dataset.image_size=[{4 * pool},{4 * pool}] or a smaller model.pool",
        )
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = layers.ReLU()(conv_norm(inputs, FILTERS[0]))  # (H, W, 16)
    for stage, filters in enumerate(FILTERS):
        for number in range((depth - 2) // 6):
            x = block(x, filters, 2 if stage > 0 and number == 0 else 1)
    # (H/4, W/4, 64)
    x = layers.AveragePooling2D(pool)(x)  # (7, 7, 64) of 224x224 images, (1, 1, 64) of 32x32
    x = layers.Flatten()(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name=f"resnet{depth}_tutorial")


def block(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    y = layers.ReLU()(conv_norm(x, filters, strides))
    y = conv_norm(y, filters)
    if strides > 1:
        x = layers.Conv2D(filters, 1, strides, padding="same")(x)
    return layers.ReLU()(layers.Add()([x, y]))


def conv_norm(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, strides, padding="same")(x)
    return layers.BatchNormalization()(x)
