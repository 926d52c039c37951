"""ResNets for ImageNet (He et al. 2015, arXiv:1512.03385), and their descendants.

These are plain networks without shortcuts, ResNeXt (Xie et al. 2016, arXiv:1611.05431) and squeeze-
and-excitation (Hu et al. 2017, arXiv:1709.01507). Layers that `keras.applications` has are named
and ordered as there, so that its weights fit.
"""

from dataclasses import dataclass
from typing import Literal

import keras
from keras import layers

from cnntrain.models.parts.resnet_stem import check_resnet_images, conv, norm, stem_layers
from cnntrain.spec.knobs import Variant


@dataclass(frozen=True)
class Design:
    """A network: the number of blocks in each of its four stages, and what a block is made of."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool = True
    shortcuts: bool = True
    groups: int = 1  # of the 3x3 convolution, in a bottleneck
    widening: int = 1  # of a bottleneck's first two convolutions
    squeeze: int | None = None  # channels divided by units, in squeeze-and-excitation


# Table 1 of the paper, and its figure 3; Table 1 of ResNeXt; Table 1 of squeeze-and-excitation.
VARIANTS = {
    "plain18": Design((2, 2, 2, 2), bottleneck=False, shortcuts=False),
    "plain34": Design((3, 4, 6, 3), bottleneck=False, shortcuts=False),
    "resnet18": Design((2, 2, 2, 2), bottleneck=False),
    "resnet34": Design((3, 4, 6, 3), bottleneck=False),
    "resnet50": Design((3, 4, 6, 3)),
    "resnet101": Design((3, 4, 23, 3)),
    "resnet152": Design((3, 8, 36, 3)),
    "resnext50": Design((3, 4, 6, 3), groups=32, widening=2),
    "resnext101": Design((3, 4, 23, 3), groups=32, widening=2),
    "se_resnet50": Design((3, 4, 6, 3), squeeze=16),
}
FILTERS = [64, 128, 256, 512]


def resnet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: Variant,
    stem: Literal["imagenet", "cifar"],
    stride_in: Literal["first", "second"],
    conv_bias: bool,
) -> keras.Model:
    """Return a ResNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    The `stem` for ImageNet divides the size by four, that for CIFAR keeps it. `stride_in` is the
    convolution of a bottleneck that halves the size: the first is 1x1, the second 3x3.
    Raises SpecError for images smaller than 32x32, or 8x8 with the stem for CIFAR.
    """
    check_resnet_images(image_shape, stem, variant)
    design = VARIANTS[variant]
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = stem_layers(inputs, stem, conv_bias, normed=True)  # (H/4, W/4, 64)
    for stage, (filters, blocks) in enumerate(zip(FILTERS, design.blocks, strict=True), 2):
        for number in range(1, blocks + 1):
            strides = 2 if stage > 2 and number == 1 else 1
            name = f"conv{stage}_block{number}"
            x = block(x, filters, strides, design, stride_in, conv_bias, name)
    # (H/32, W/32, 512), four times as many channels with bottlenecks
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name=variant)


def block(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    design: Design,
    stride_in: str,
    bias: bool,
    name: str,
) -> keras.KerasTensor:
    """Apply a residual block (Fig. 5), whose shortcut is projected where shapes differ."""
    channels = 4 * filters if design.bottleneck else filters
    shortcut = x
    if design.shortcuts and (strides > 1 or x.shape[-1] != channels):
        shortcut = conv(x, channels, 1, strides, bias, f"{name}_0_conv")
        shortcut = norm(shortcut, f"{name}_0_bn")
    if design.bottleneck:
        first, second = (strides, 1) if stride_in == "first" else (1, strides)
        wide = filters * design.widening
        y = conv(x, wide, 1, first, bias, f"{name}_1_conv")
        y = layers.ReLU(name=f"{name}_1_relu")(norm(y, f"{name}_1_bn"))
        y = conv(y, wide, 3, second, bias, f"{name}_2_conv", design.groups)
        y = layers.ReLU(name=f"{name}_2_relu")(norm(y, f"{name}_2_bn"))
        y = norm(conv(y, channels, 1, 1, bias, f"{name}_3_conv"), f"{name}_3_bn")
    else:
        y = conv(x, filters, 3, strides, bias, f"{name}_1_conv")
        y = layers.ReLU(name=f"{name}_1_relu")(norm(y, f"{name}_1_bn"))
        y = norm(conv(y, filters, 3, 1, bias, f"{name}_2_conv"), f"{name}_2_bn")
    if design.squeeze:
        y = squeeze_and_excite(y, design.squeeze, name)
    if design.shortcuts:
        y = layers.Add(name=f"{name}_add")([shortcut, y])
    return layers.ReLU(name=f"{name}_out")(y)


def squeeze_and_excite(x: keras.KerasTensor, squeeze: int, name: str) -> keras.KerasTensor:
    """Weigh the channels by a function of their averages (Figs 2 and 3 of that paper)."""
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_squeeze")(x)
    y = layers.Dense(channels // squeeze, activation="relu", name=f"{name}_se_reduce")(y)
    y = layers.Dense(channels, activation="sigmoid", name=f"{name}_se_excite")(
        y
    )  # (B, 1, 1, channels)
    return layers.Multiply(name=f"{name}_se_scale")([x, y])
