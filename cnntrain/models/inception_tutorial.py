"""The Inception of a course: nine modules of three towers, with filters from GoogLeNet's table.

The naive module is beside it: convolutions read all feature maps, without a 1x1 convolution that
would first reduce them (Szegedy et al. 2014, arXiv:1409.4842, Fig. 2a). A 3x3 or 5x5 convolution
then costs several times as much, and the pool makes each module wider than the one before.
"""

from typing import Literal

import keras
from keras import layers

from cnntrain.models.parts.inception_parts import TABLE_1, Norm, chain, check_inception_images, conv

POOL_AFTER = ("3b", "4d")


def inception_tutorial(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    module: Literal["reduced", "naive"],
    batch_norm: bool,
) -> keras.Model:
    """Return the network: float images (B, H, W, C) in, logits (B, num_classes) out.

    With `reduced` modules, for 224x224 images and 17 classes, it is the network of the course:
    5,448,529 parameters, 13.54 G multiply-adds. `batch_norm` stands before every ReLU.
    Raises SpecError for images below 32x32, of which the last pool leaves nothing.
    """
    check_inception_images("inception_tutorial", image_shape, 32)
    norm: Norm = "affine" if batch_norm else "bias"
    apply_module = reduced_module if module == "reduced" else naive_module
    inputs = keras.Input(image_shape)  # (224, 224, 3)
    x = conv(inputs, 64, 3, norm)  # (224, 224, 64)
    x = layers.MaxPooling2D()(x)  # (112, 112, 64)
    for name, filters in TABLE_1.items():
        x = apply_module(x, filters, norm)  # (112, 112, …), (56, 56, …), (28, 28, …)
        if name in POOL_AFTER:
            x = layers.MaxPooling2D()(x)
    x = layers.AveragePooling2D(4)(x)  # (7, 7, 368); naive (7, 7, 2288)
    x = layers.Flatten()(x)  # (18032,)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="inception_tutorial")


def reduced_module(x: keras.KerasTensor, filters: tuple[int, ...], norm: Norm) -> keras.KerasTensor:
    """Concatenate three towers: 1x1 and 3x3; 1x1 and 5x5; max pool and 1x1.

    Their filters are the first five numbers of a row of the table. In the paper the first number is
    that of a 1x1 tower, which is missing here; so each number is used one place early.
    """
    reduce3, three, reduce5, five, projection, _ = filters
    ends = [chain(x, [(reduce3, 1), (three, 3)], norm), chain(x, [(reduce5, 1), (five, 5)], norm)]
    pooled = layers.MaxPooling2D(3, 1, padding="same")(x)
    return layers.Concatenate()([*ends, conv(pooled, projection, 1, norm)])


def naive_module(x: keras.KerasTensor, filters: tuple[int, ...], norm: Norm) -> keras.KerasTensor:
    """Concatenate a 1x1, a 3x3 and a 5x5 convolution and a max pool, which keeps all maps of x.

    The convolutions have the filters with which the towers of the reduced module end.
    """
    _, three, _, five, one, _ = filters
    ends = [conv(x, maps, kernel, norm) for maps, kernel in ((one, 1), (three, 3), (five, 5))]
    return layers.Concatenate()([*ends, layers.MaxPooling2D(3, 1, padding="same")(x)])
