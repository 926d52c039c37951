"""VGG: stacks of small convolutions (Simonyan & Zisserman, 2014, arXiv:1409.1556).

Layers have the names that `keras.applications` gives them, so that its weights load by name.
"""

from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.models.parts.blocks import local_response_norm
from cnntrain.spec.knobs import Count, Probability, Variant

# Table 1 of the paper: the kernel sizes of each stage. Every stage ends in a 2x2 max pool.
VARIANTS = {
    "A": [[3], [3], [3, 3], [3, 3], [3, 3]],  # VGG-11
    "A-LRN": [[3], [3], [3, 3], [3, 3], [3, 3]],  # the same, normalised after the first convolution
    "B": [[3, 3], [3, 3], [3, 3], [3, 3], [3, 3]],  # VGG-13
    "C": [[3, 3], [3, 3], [3, 3, 1], [3, 3, 1], [3, 3, 1]],  # VGG-16 with 1x1 kernels
    "D": [[3, 3], [3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],  # VGG-16
    "E": [[3, 3], [3, 3], [3, 3, 3, 3], [3, 3, 3, 3], [3, 3, 3, 3]],  # VGG-19
}
FILTERS = [64, 128, 256, 512, 512]


def vgg(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: Variant,
    hidden: Count,
    dropout: Probability,
    batch_norm: bool,
    norm_position: Literal["before", "after"],
) -> keras.Model:
    """Return a VGG: float images (B, H, W, C) in, logits (B, num_classes) out.

    `hidden` is the width of the two dense layers of the head, each followed by `dropout`. Batch
    normalisation stands before the ReLU of a convolution, or after it and the pool, if there is
    one: `norm_position`.
    Raises SpecError for images smaller than 32x32.
    """
    if min(image_shape[:2]) < 32:
        raise SpecError(
            f"model=vgg got {image_shape[0]}x{image_shape[1]} images",
            "32x32 or larger",
            "dataset.image_size=[32,32]",
        )
    inputs = x = keras.Input(image_shape)  # (H, W, C)
    norm_before, norm_after = (batch_norm and norm_position == p for p in ("before", "after"))
    for stage, (filters, kernels) in enumerate(zip(FILTERS, VARIANTS[variant], strict=True), 1):
        for number, kernel in enumerate(kernels, 1):
            name = f"block{stage}_conv{number}"
            x = conv(x, filters, kernel, norm_before, name)
            if variant == "A-LRN" and stage == 1:
                x = local_response_norm(x)
            if number == len(kernels):
                x = layers.MaxPooling2D(name=f"block{stage}_pool")(x)
            if norm_after:
                x = layers.BatchNormalization(name=f"{name}_bn")(x)
    # (H/32, W/32, 512)

    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(hidden, activation="relu", name=f"fc{number}")(x)
        x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name=f"vgg_{variant.lower()}")


def conv(
    x: keras.KerasTensor, filters: int, kernel: int, batch_norm: bool, name: str
) -> keras.KerasTensor:
    """Apply a convolution, batch normalisation if asked, and ReLU; batch norm replaces the bias."""
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=not batch_norm, name=name)(x)
    if batch_norm:
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU()(x)
