"""DenseNet: every layer sees the outputs of all before it (Huang et al. 2017, arXiv:1608.06993).

Layers have the names that `keras.applications` gives them, so that its weights load by name.
"""

from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count, Factor, Probability, Variant

# The number of layers in each dense block. The variants named bc and the last four are meant for
# `bottleneck`; the depth in their names counts a bottleneck as a layer of its own.
VARIANTS = {
    "40": [12, 12, 12],  # Table 2, for CIFAR
    "100": [32, 32, 32],
    "bc_100": [16, 16, 16],
    "bc_250": [41, 41, 41],
    "bc_190": [31, 31, 31],
    "121": [6, 12, 24, 16],  # Table 1, for ImageNet
    "169": [6, 12, 32, 32],
    "201": [6, 12, 48, 32],
    "264": [6, 12, 64, 48],
}
EPSILON = 1.001e-5  # of batch normalisation, as in the weights that Keras publishes


def densenet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: Variant,
    growth: Count,
    bottleneck: bool,
    compression: Factor | Literal[1],
    stem: Literal["imagenet", "cifar"],
    dropout: Probability,
) -> keras.Model:
    """Return a DenseNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    Every layer adds `growth` feature maps; with `bottleneck` a 1x1 convolution first reduces its
    input to four times as many. Between two blocks a transition keeps the share `compression` of
    the feature maps. `stem` imagenet is a 7x7 convolution and a pool, which leave a quarter of the
    size; cifar is a 3x3 convolution, which keeps the size. `dropout` follows every convolution but
    the stem's.
    Raises SpecError if the images are so small that nothing is left before the last block.
    """
    blocks = VARIANTS[variant]
    check_densenet_images(image_shape, len(blocks), stem)
    inputs = keras.Input(image_shape)  # (H, W, C)
    # "the first convolution has 16 output channels, or twice the growth rate with -BC" (section 3).
    x = STEMS[stem](inputs, 2 * growth if bottleneck else 16)
    for stage, depth in enumerate(blocks, start=2):  # stage 1 is the stem's
        if stage > 2:
            x = transition(x, compression, dropout, f"pool{stage - 1}")
        for number in range(1, depth + 1):
            x = densenet_layer(x, growth, bottleneck, dropout, f"conv{stage}_block{number}")
    # imagenet: (H/32, W/32, channels); cifar, of three blocks: (H/4, W/4, channels)

    x = layers.ReLU(name="relu")(norm(x, "bn"))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name=f"densenet_{variant}")


def imagenet_stem(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Apply a 7x7 convolution and a 3x3 max pool, both of stride 2."""
    x = layers.ZeroPadding2D(3)(x)
    x = layers.Conv2D(filters, 7, 2, use_bias=False, name="conv1_conv")(x)  # (H/2, W/2, 64)
    x = layers.ReLU(name="conv1_relu")(norm(x, "conv1_bn"))
    x = layers.ZeroPadding2D(1)(x)
    return layers.MaxPooling2D(3, 2, name="pool1")(x)  # (H/4, W/4, 64)


def cifar_stem(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Apply a 3x3 convolution; its batch normalisation is the first of the first block."""
    return layers.Conv2D(filters, 3, padding="same", use_bias=False, name="conv1_conv")(x)


STEMS = {"imagenet": imagenet_stem, "cifar": cifar_stem}


def densenet_layer(
    x: keras.KerasTensor, growth: int, bottleneck: bool, dropout: float, name: str
) -> keras.KerasTensor:
    """Append `growth` feature maps to those of `x` (equation 2)."""
    y = x
    if bottleneck:
        y = norm_conv(y, 4 * growth, 1, dropout, f"{name}_0_bn", f"{name}_1_conv")
    y = norm_conv(y, growth, 3, dropout, f"{name}_1_bn", f"{name}_2_conv")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def transition(
    x: keras.KerasTensor, compression: float, dropout: float, name: str
) -> keras.KerasTensor:
    """Halve the size, and keep the share `compression` of the feature maps."""
    filters = int(x.shape[-1] * compression)
    x = norm_conv(x, filters, 1, dropout, f"{name}_bn", f"{name}_conv")
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def norm_conv(
    x: keras.KerasTensor, filters: int, kernel: int, dropout: float, bn_name: str, name: str
) -> keras.KerasTensor:
    """Apply batch normalisation, ReLU and a convolution, in this order (section 3)."""
    x = layers.ReLU()(norm(x, bn_name))
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
    return layers.Dropout(dropout)(x) if dropout else x


def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=EPSILON, name=name)(x)


def check_densenet_images(image_shape: tuple[int, int, int], blocks: int, stem: str) -> None:
    """Raise SpecError for images that the stem and the transitions halve to nothing."""
    smallest = 2 ** (blocks - 1) * (4 if stem == "imagenet" else 1)
    if min(image_shape[:2]) < smallest:
        raise SpecError(
            f"model=densenet got {image_shape[0]}x{image_shape[1]} images",
            f"{smallest}x{smallest} or larger with model.stem={stem}",
            "model.stem=cifar" if stem == "imagenet" else "dataset.image_size=[32,32]",
        )
