"""A compact network for CIFAR-10 in minutes, after airbench94 (Jordan 2024, arXiv:2404.00498).

Its first layer is not trained: it whitens patches of the training images. Groups of two
convolutions follow, each with a max pool before its first batch normalisation.
"""

from collections.abc import Callable
from typing import Literal

import keras
from keras import layers, ops

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count, Positive


def speed_net(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    patch: Count,
    whitening: bool,
    filters: list[Count],
    activation: Literal["gelu", "silu", "relu"],
    logit_scale: Positive,
) -> keras.Model:
    """Return the network: float images (B, H, W, C) in, logits (B, num_classes) out.

    The first layer has two filters for each of the C * patch^2 numbers of a patch. With `whitening`
    they are not trained, but made of the training images (arXiv:2404.00498, section 3.2). Each
    group has two 3x3 convolutions of its `filters`. The logits are multiplied by `logit_scale`.
    Raises SpecError if the images are so small that nothing is left for the last group.
    """
    smallest = 2 ** len(filters) + patch - 1
    if min(image_shape[:2]) < smallest:
        raise SpecError(
            f"model=speed_net got {image_shape[0]}x{image_shape[1]} images",
            f"{smallest}x{smallest} or larger",
            f"dataset.image_size=[{smallest},{smallest}] or fewer model.filters",
        )
    activate = getattr(ops, activation)
    inputs = x = keras.Input(image_shape)  # (H, W, C)
    count = 2 * image_shape[2] * patch**2
    x = layers.Conv2D(count, patch, use_bias=False, trainable=not whitening, name="patches")(x)
    x = activate(x)
    for number, channels in enumerate(filters, 1):
        x = conv_group(x, channels, activate, number)  # (H/2^number, W/2^number, channels)
    x = layers.GlobalMaxPooling2D(name="max")(x)
    x = layers.Dense(num_classes, use_bias=False, dtype="float32", name="head")(x)
    logits = layers.Rescaling(logit_scale, dtype="float32", name="predictions")(x)
    model = keras.Model(inputs, logits, name="speed_net")
    model.whitening = "patches" if whitening else None  # the layer that training images make
    return model


def conv_group(
    x: keras.KerasTensor,
    channels: int,
    activate: Callable[[keras.KerasTensor], keras.KerasTensor],
    number: int,
) -> keras.KerasTensor:
    """Apply a group: convolution, pool, norm, activation, convolution, norm, activation."""
    for place in (1, 2):
        name = f"group{number}_conv{place}"
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=name)(x)
        if place == 1:
            x = layers.MaxPooling2D(2, name=f"group{number}_pool")(x)
        x = layers.BatchNormalization(scale=False, epsilon=1e-5, name=f"{name}_norm")(x)
        x = activate(x)
    return x
