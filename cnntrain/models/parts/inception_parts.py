"""The modules of the Inception networks: chains of convolutions side by side.

A chain is a list of (filters, kernel). A list within it is a fork, whose ends are concatenated.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError

Kernel = int | tuple[int, int]
Conv = tuple[int, Kernel]
Chain = Sequence[Conv | list[Conv]]
# What follows a convolution: a bias, or batch normalisation with beta alone, or gamma and beta.
Norm = Literal["bias", "shift", "affine"]
Pool = Literal["average", "max"]

# Table 1 of GoogLeNet (Szegedy et al. 2014): 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, projection.
TABLE_1 = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def conv(
    x: keras.KerasTensor,
    filters: int,
    kernel: Kernel,
    norm: Norm,
    *,
    strides: int = 1,
    padding: str = "same",
) -> keras.KerasTensor:
    """Apply a convolution with its bias or batch normalisation, then ReLU."""
    use_bias = norm == "bias"
    x = layers.Conv2D(filters, kernel, strides, padding=padding, use_bias=use_bias)(x)
    if not use_bias:
        x = layers.BatchNormalization(scale=norm == "affine")(x)
    return layers.ReLU()(x)


def chain(
    x: keras.KerasTensor, convs: Chain, norm: Norm, *, strides: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    """Apply convolutions one after another; `strides` and `padding` are those of the last."""
    for convolution in convs[:-1]:
        x = conv_or_fork(x, convolution, norm)
    return conv_or_fork(x, convs[-1], norm, strides=strides, padding=padding)


def conv_or_fork(
    x: keras.KerasTensor,
    convolution: Conv | list[Conv],
    norm: Norm,
    *,
    strides: int = 1,
    padding: str = "same",
) -> keras.KerasTensor:
    """Apply a convolution, or concatenate the results of several."""
    if isinstance(convolution, tuple):
        return conv(x, *convolution, norm, strides=strides, padding=padding)
    return layers.Concatenate()([conv(x, *end, norm) for end in convolution])


def inception_module(
    x: keras.KerasTensor,
    chains: Iterable[Chain],
    projection: int,
    norm: Norm,
    pool: Pool = "average",
) -> keras.KerasTensor:
    """Concatenate the chains, and a 3x3 pool with a 1x1 projection."""
    ends = [chain(x, convs, norm) for convs in chains]
    pooling = layers.MaxPooling2D if pool == "max" else layers.AveragePooling2D
    pooled = pooling(3, 1, padding="same")(x)
    return layers.Concatenate()([*ends, conv(pooled, projection, 1, norm)])


def reduction_module(
    x: keras.KerasTensor, chains: Iterable[Chain], norm: Norm, padding: str = "valid"
) -> keras.KerasTensor:
    """Halve the grid: concatenate the chains and a 3x3 max pool, all of stride 2."""
    ends = [chain(x, convs, norm, strides=2, padding=padding) for convs in chains]
    pooled = layers.MaxPooling2D(3, 2, padding=padding)(x)
    return layers.Concatenate()([*ends, pooled])


def check_inception_images(
    name: str, image_shape: tuple[int, int, int], smallest: int, auxiliary: int | None = None
) -> None:
    """Raise SpecError for images below `smallest`, or below `auxiliary` if it is given."""
    height, width, _ = image_shape
    given = f"model={name} got {height}x{width} images"
    if min(height, width) < smallest:
        expected = f"{smallest}x{smallest} or larger"
        raise SpecError(given, expected, f"dataset.image_size=[{smallest},{smallest}]")
    if auxiliary is not None and min(height, width) < auxiliary:
        raise SpecError(
            f"{given} and has auxiliary heads",
            f"{auxiliary}x{auxiliary} or larger for the heads",
            f"model.auxiliary_weight=0 or dataset.image_size=[{auxiliary},{auxiliary}]",
        )
