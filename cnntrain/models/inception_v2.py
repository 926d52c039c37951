"""BN-Inception, the second Inception network (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

from typing import Literal

import keras
from keras import layers

from cnntrain.models.parts.inception_parts import (
    Pool,
    check_inception_images,
    conv,
    inception_module,
    reduction_module,
)

# Figure 5 of the paper's appendix: 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool
# projection. With the filters as printed, 4c and 4d have 608 output channels and 4e has 1056, where
# the figure says 576 and 1024. The network in Caffe has the printed filters. The one in TensorFlow
# Slim has 96 for the projections of 4c and 4d, which gives the sums of the figure.
BLOCKS = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}
HALVING = ("3c", "4e")  # these have stride 2, no 1x1 branch and no projection
MAX_POOL = ("5b",)  # the other modules with a projection have average pools


def inception_v2(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    stem: Literal["paper", "small"],
    separable_stem: bool,
) -> keras.Model:
    """Return BN-Inception: float images (B, H, W, C) in, logits (B, num_classes) out.

    `stem` is the paper's, which divides the image by 8 before module 3a, or `small`, which divides
    it by 2. With `separable_stem` the first convolution is separable, of depth multiplier 8.
    Raises SpecError for images below 32x32, or below 8x8 with the small stem.
    """
    check_inception_images("inception_v2", image_shape, 32 if stem == "paper" else 8)
    inputs = keras.Input(image_shape)  # (224, 224, 3)
    x = stem_v2(inputs, stem, separable_stem)  # (28, 28, 192)
    for name, (one, reduce3, three, reduce_double, double, projection) in BLOCKS.items():
        chains = [
            [(reduce3, 1), (three, 3)],
            [(reduce_double, 1), (double, 3), (double, 3)],
        ]
        if name in HALVING:
            x = reduction_module(x, chains, "affine", padding="same")  # (14, 14, 576), (7, 7, 1056)
        else:
            pool: Pool = "max" if name in MAX_POOL else "average"
            x = inception_module(x, [[(one, 1)], *chains], projection, "affine", pool)
    x = layers.GlobalAveragePooling2D()(x)  # (1024,)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="inception_v2")


def stem_v2(x: keras.KerasTensor, stem: str, separable: bool) -> keras.KerasTensor:
    """Apply the stem; the small one keeps the size of the image up to its last pool."""
    kernel, strides = (7, 2) if stem == "paper" else (3, 1)
    if separable:
        x = layers.SeparableConv2D(
            64, kernel, strides, padding="same", depth_multiplier=8, use_bias=False
        )(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    else:
        x = conv(x, 64, kernel, "affine", strides=strides)  # (H/2, W/2, 64), small (H, W, 64)
    if stem == "paper":
        x = layers.MaxPooling2D(3, 2, padding="same")(x)  # (H/4, W/4, 64)
    x = conv(x, 64, 1, "affine")
    x = conv(x, 192, 3, "affine")
    return layers.MaxPooling2D(3, 2, padding="same")(x)  # (H/8, W/8, 192), small (H/2, W/2, 192)
