"""Stems of Inception v3, v4 and the Inception-ResNets: from 299x299 images to 35x35 grids."""

import keras
from keras import layers

from cnntrain.models.parts.inception_parts import Norm, chain, conv


def stem_v3(x: keras.KerasTensor, norm: Norm) -> keras.KerasTensor:
    """Apply the stem of Inception-v3 and of the released Inception-ResNet-v2."""
    x = first_convs(x, norm)  # (71, 71, 192)
    return layers.MaxPooling2D(3, 2)(x)  # (35, 35, 192)


def stem_resnet_v1(x: keras.KerasTensor, norm: Norm) -> keras.KerasTensor:
    """Apply the stem of Inception-ResNet-v1 (Szegedy et al. 2016, Fig. 14)."""
    x = first_convs(x, norm)  # (71, 71, 192)
    return conv(x, 256, 3, norm, strides=2, padding="valid")  # (35, 35, 256)


def first_convs(x: keras.KerasTensor, norm: Norm) -> keras.KerasTensor:
    x = conv(x, 32, 3, norm, strides=2, padding="valid")  # (149, 149, 32)
    x = conv(x, 32, 3, norm, padding="valid")  # (147, 147, 32)
    x = conv(x, 64, 3, norm)  # (147, 147, 64)
    x = layers.MaxPooling2D(3, 2)(x)  # (73, 73, 64)
    x = conv(x, 80, 1, norm)  # (73, 73, 80)
    return conv(x, 192, 3, norm, padding="valid")  # (71, 71, 192)


def stem_v4(x: keras.KerasTensor, norm: Norm) -> keras.KerasTensor:
    """Apply the stem of Inception-v4 and Inception-ResNet-v2 (Szegedy et al. 2016, Fig. 3)."""
    x = conv(x, 32, 3, norm, strides=2, padding="valid")  # (149, 149, 32)
    x = conv(x, 32, 3, norm, padding="valid")  # (147, 147, 32)
    x = conv(x, 64, 3, norm)  # (147, 147, 64)
    pooled = layers.MaxPooling2D(3, 2)(x)
    halved = conv(x, 96, 3, norm, strides=2, padding="valid")
    x = layers.Concatenate()([pooled, halved])  # (73, 73, 160)
    short = chain(x, [(64, 1), (96, 3)], norm, padding="valid")
    long = chain(x, [(64, 1), (64, (7, 1)), (64, (1, 7)), (96, 3)], norm, padding="valid")
    x = layers.Concatenate()([short, long])  # (71, 71, 192)
    halved = conv(x, 192, 3, norm, strides=2, padding="valid")
    pooled = layers.MaxPooling2D(3, 2)(x)
    return layers.Concatenate()([halved, pooled])  # (35, 35, 384)
