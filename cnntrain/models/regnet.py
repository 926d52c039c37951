"""RegNetX (Radosavovic et al. 2020, arXiv:2003.13678): a ResNeXt whose widths lie on a line.

Five numbers describe a network. Its blocks have the widths w_0 + w_a * j, j counting the blocks
from 0; each is moved to the nearest w_0 * w_m^k, and blocks of one width are a stage.
"""

import math
from collections import Counter
from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.models.parts.resnet_stem import conv, norm
from cnntrain.spec.knobs import Count, Depth, NonNegative, Positive

STEM_FILTERS = 32
WIDTH_MULTIPLE = 8  # of every width, before it also becomes a multiple of the group width


def regnet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: Depth,
    w_0: Count,
    w_a: NonNegative,
    w_m: Positive,
    group_width: Count,
    stem: Literal["imagenet", "cifar"],
) -> keras.Model:
    """Return a RegNetX: float images (B, H, W, C) in, logits (B, num_classes) out.

    The 3x3 convolutions of its `depth` blocks have groups of `group_width` channels. Every stage
    halves the size; so does the `stem` for ImageNet, but not that for CIFAR.
    Raises SpecError for images of which less than a pixel reaches the last stage, and for widths
    that grow by a factor `w_m` of 1 or less.
    """
    if w_m <= 1:
        raise SpecError(f"model.w_m is {w_m:g}", "a factor above 1", "model.w_m=2.5")
    stages = compute_stages(depth, w_0, w_a, w_m, group_width)
    check_regnet_images(image_shape, stem, len(stages))
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = conv(inputs, STEM_FILTERS, 3, 2 if stem == "imagenet" else 1, False, "stem_conv")
    x = layers.ReLU(name="stem_relu")(norm(x, "stem_bn"))  # (H/2, W/2, 32)
    for stage, (width, blocks) in enumerate(stages, 1):
        groups = width // min(group_width, width)
        for number in range(1, blocks + 1):
            x = block(x, width, 2 if number == 1 else 1, groups, f"stage{stage}_block{number}")
        # (H/2^(stage+1), W/2^(stage+1), width)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name="regnet")


def compute_stages(
    depth: int, w_0: int, w_a: float, w_m: float, group_width: int
) -> list[tuple[int, int]]:
    """Return width and number of blocks of every stage (equations 2 to 4 of the paper)."""
    steps = (round(math.log(1 + w_a * j / w_0) / math.log(w_m)) for j in range(depth))
    widths = Counter(round_to_multiple(w_0 * w_m**step, WIDTH_MULTIPLE) for step in steps)
    return [
        (round_to_multiple(width, min(group_width, width)), blocks)
        for width, blocks in widths.items()
    ]


def round_to_multiple(width: float, multiple: int) -> int:
    """Return the positive multiple that is nearest to a width; of two, the even multiple.

    So does the authors' code: RegNetX-400MF ends in 384 channels. Torchvision's has 400.
    """
    return max(1, round(width / multiple)) * multiple


def check_regnet_images(image_shape: tuple[int, int, int], stem: str, stages: int) -> None:
    """Raise SpecError for images of which less than a pixel reaches the last stage."""
    needed = 2 ** (stages + (stem == "imagenet"))
    if min(image_shape[:2]) < needed:
        small = "model.stem=cifar or " if stem == "imagenet" else ""
        raise SpecError(
            f"model=regnet got {image_shape[0]}x{image_shape[1]} images",
            f"{needed}x{needed} or larger",
            f"{small}dataset.image_size=[{needed},{needed}]",
        )


def block(
    x: keras.KerasTensor, width: int, strides: int, groups: int, name: str
) -> keras.KerasTensor:
    """Apply the X block (Fig. 4): 1x1, grouped 3x3 and 1x1 convolutions beside a shortcut.

    All three put out `width` channels. The 3x3 convolution has the stride; the shortcut is
    projected where shapes differ.
    """
    shortcut = x
    if strides > 1 or x.shape[-1] != width:
        shortcut = conv(x, width, 1, strides, False, f"{name}_0_conv")
        shortcut = norm(shortcut, f"{name}_0_bn")
    y = conv(x, width, 1, 1, False, f"{name}_1_conv")
    y = layers.ReLU(name=f"{name}_1_relu")(norm(y, f"{name}_1_bn"))
    y = conv(y, width, 3, strides, False, f"{name}_2_conv", groups)
    y = layers.ReLU(name=f"{name}_2_relu")(norm(y, f"{name}_2_bn"))
    y = norm(conv(y, width, 1, 1, False, f"{name}_3_conv"), f"{name}_3_bn")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, y]))
