"""ResNets for ImageNet with pre-activation (He et al. 2016, arXiv:1603.05027).

With a bias in the convolutions and the stride in the last block of a stage, layers and weights are
those of `keras.applications.ResNet50V2` and its like, which descend from TensorFlow's Slim.
"""

from typing import Literal

import keras
from keras import layers

from cnntrain.models.parts.resnet_stem import check_resnet_images, conv, norm, stem_layers
from cnntrain.spec.knobs import Variant

# The blocks of each stage: Table 1 of He et al. 2015.
VARIANTS = {
    "resnet50_v2": [3, 4, 6, 3],
    "resnet101_v2": [3, 4, 23, 3],
    "resnet152_v2": [3, 8, 36, 3],
}
FILTERS = [64, 128, 256, 512]


def resnet_v2(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: Variant,
    stem: Literal["imagenet", "cifar"],
    stride_in: Literal["first", "second"],
    strided_block: Literal["first", "last"],
    conv_bias: bool,
) -> keras.Model:
    """Return a pre-activation ResNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    The `stem` for ImageNet divides the size by four, that for CIFAR keeps it. `stride_in` is the
    convolution that halves the size. `strided_block` is the block with that convolution: the first
    block of the second to the fourth stage, or the last of the first to the third. `conv_bias`
    gives a bias to the stem, the projections, and the convolutions without a batch norm right
    behind them. Raises SpecError for images smaller than 32x32, or 8x8 with the stem for CIFAR.
    """
    check_resnet_images(image_shape, stem, variant)
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = stem_layers(inputs, stem, conv_bias, normed=False)  # (H/4, W/4, 64)
    for stage, (filters, blocks) in enumerate(zip(FILTERS, VARIANTS[variant], strict=True), 2):
        strided = {"first": 1 if stage > 2 else None, "last": blocks if stage < 5 else None}
        for number in range(1, blocks + 1):
            strides = 2 if number == strided[strided_block] else 1
            x = residual_unit(
                x, filters, strides, stride_in, conv_bias, f"conv{stage}_block{number}"
            )
    x = layers.ReLU(name="post_relu")(norm(x, "post_bn"))  # (H/32, W/32, 2048)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (2048,)
    logits = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name=variant)


def residual_unit(
    x: keras.KerasTensor, filters: int, strides: int, stride_in: str, bias: bool, name: str
) -> keras.KerasTensor:
    """Apply a residual unit (Fig. 1b), whose projection shares the activated input of the branch.

    Where only the size changes, the shortcut takes every second pixel.
    """
    activated = layers.ReLU(name=f"{name}_preact_relu")(norm(x, f"{name}_preact_bn"))
    if x.shape[-1] != 4 * filters:
        x = conv(activated, 4 * filters, 1, strides, bias, f"{name}_0_conv")
    elif strides > 1:
        x = layers.MaxPooling2D(1, strides, name=f"{name}_0_pool")(x)
    first, second = (strides, 1) if stride_in == "first" else (1, strides)
    y = conv(activated, filters, 1, first, False, f"{name}_1_conv")
    y = layers.ReLU(name=f"{name}_1_relu")(norm(y, f"{name}_1_bn"))
    y = conv(y, filters, 3, second, False, f"{name}_2_conv")
    y = layers.ReLU(name=f"{name}_2_relu")(norm(y, f"{name}_2_bn"))
    y = conv(y, 4 * filters, 1, 1, bias, f"{name}_3_conv")
    return layers.Add(name=f"{name}_out")([x, y])
