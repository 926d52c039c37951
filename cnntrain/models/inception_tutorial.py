"""The Inception of a course: nine modules of three towers, with filters from GoogLeNet's table."""

import keras
from keras import layers

from cnntrain.models.parts.inception_parts import TABLE_1, Norm, chain, check_inception_images, conv

POOL_AFTER = ("3b", "4e", "5b")


def inception_tutorial(
    image_shape: tuple[int, int, int], num_classes: int, *, batch_norm: bool
) -> keras.Model:
    """Return the network: float images (B, H, W, C) in, logits (B, num_classes) out.

    Without `batch_norm` it has the 5,448,529 parameters of the course for 224x224 images and 17
    classes. This number fixes the 3x3 stem, the towers below and the flattened 7x7 grid. It does
    not say where the grid is halved on the way; the places of the pools are ours.
    Raises SpecError for images below 32x32.
    """
    check_inception_images("inception_tutorial", image_shape, 32)
    norm: Norm = "affine" if batch_norm else "bias"
    inputs = keras.Input(image_shape)  # (224, 224, 3)
    x = conv(inputs, 64, 3, norm, strides=2)  # (112, 112, 64)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)  # (56, 56, 64)
    for name, filters in TABLE_1.items():
        x = towers(x, filters, norm)
        if name in POOL_AFTER:
            x = layers.MaxPooling2D(3, 2, padding="same")(x)  # (28, 28, …), (14, …), (7, 7, 368)
    x = layers.Flatten()(x)  # (18032,)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="inception_tutorial")


def towers(x: keras.KerasTensor, filters: tuple[int, ...], norm: Norm) -> keras.KerasTensor:
    """Apply three towers: 1x1 and 3x3; 1x1 and 5x5; max pool and 1x1.

    Their filters are the first five numbers of a row of the table. In the paper the first number is
    that of a 1x1 tower, which is missing here; so each number is used one place early.
    """
    reduce3, three, reduce5, five, projection, _ = filters
    ends = [chain(x, [(reduce3, 1), (three, 3)], norm), chain(x, [(reduce5, 1), (five, 5)], norm)]
    pooled = layers.MaxPooling2D(3, 1, padding="same")(x)
    return layers.Concatenate()([*ends, conv(pooled, projection, 1, norm)])
