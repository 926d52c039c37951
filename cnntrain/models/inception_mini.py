"""A small Inception of our own: the modules of BN-Inception at the size of 32x32 images."""

from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.models.parts.inception_parts import Chain, conv, inception_module
from cnntrain.spec.knobs import Count, Probability


def inception_mini(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: Count,
    blocks: list[Count],
    stride: Literal[1, 2, 4],
    dropout: Probability,
) -> keras.Model:
    """Return a small Inception: float images (B, H, W, C) in, logits (B, num_classes) out.

    Each number in `blocks` makes a stage of so many blocks on one grid, which is halved between
    stages. Each of a block's four branches has `width` filters in the first stage, and twice as
    many in every next one. The stem divides the image by `stride`.
    Raises SpecError if the images are so small that nothing is left before the last stage.
    """
    smallest = stride * 2 ** (len(blocks) - 1)
    if not blocks or min(image_shape[:2]) < smallest:
        raise SpecError(
            f"model=inception_mini got {image_shape[0]}x{image_shape[1]} images and "
            f"{len(blocks)} stages",
            f"one stage or more, and images of {smallest}x{smallest} or larger",
            f"dataset.image_size=[{smallest},{smallest}] or fewer model.blocks",
        )
    inputs = keras.Input(image_shape)  # (32, 32, C)
    x = conv(inputs, 2 * width, 3, "affine", strides=min(stride, 2))  # (32, 32, 2 width)
    if stride == 4:
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage, count in enumerate(blocks):
        if stage:
            x = layers.MaxPooling2D(3, 2, padding="same")(x)
        for _ in range(count):
            x = block(x, width * 2**stage)  # (32, 32, 4 width), (16, 16, 8 width), …
    x = layers.GlobalAveragePooling2D()(x)  # (16 width,)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="inception_mini")


def block(x: keras.KerasTensor, n: int) -> keras.KerasTensor:
    """Apply four branches of n filters: 1x1, 3x3, two 3x3, and an average pool.

    The second and the third are first reduced to n / 2 channels.
    """
    reduced = max(1, n // 2)
    chains: list[Chain] = [[(n, 1)], [(reduced, 1), (n, 3)], [(reduced, 1), (n, 3), (n, 3)]]
    return inception_module(x, chains, n, "affine")
