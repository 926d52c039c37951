"""One small convnet with ideas that each change one thing in it, to compare in minutes.

Three 3x3 convolutions and a dense layer: four layers with weights, like the networks with which
Krizhevsky et al. (2012, Fig. 1) compared ReLU and tanh. Their network with ReLU reached 25 %
training error on CIFAR-10 six times sooner. From He's weights and standardised pixels tanh is
hardly later (one seed, batch 128, constant rates that were not searched): both reach it in epoch 8
with Adam at 0.001; with SGD at 0.01 and momentum 0.9, tanh needs 10 epochs and ReLU 9.
"""

from typing import Literal

import keras
from keras import layers, ops

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count


def cnn_idea(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: list[Count],
    convolution: Literal["full", "separable"],
    activation: Literal["relu", "tanh", "sigmoid", "elu", "gelu", "selu", "maxout"],
    pieces: Count,
    shrink: Literal["pool", "stride", "never"],
    batch_norm: bool,
    norm_position: Literal["before", "after"],
    head: Literal["flatten", "average"],
) -> keras.Model:
    """Return a small convnet: float images (B, H, W, C) in, logits (B, num_classes) out.

    Every stage is a 3x3 convolution of `filters` filters, batch normalisation if asked, and the
    activation; `maxout` takes the largest of `pieces` feature maps. `shrink` says how a stage
    halves the image: by a 2x2 max pool, by a stride of 2, or never; in the last case each stage
    sees twice as far as the one before, by dilation. `separable` convolutions are depthwise, then
    pointwise, in all stages but the first. The normalisation stands before the activation, or after
    it and the pool: `norm_position`.
    Raises SpecError if the images are so small that nothing is left before the last stage.
    """
    check_cnn_idea_images(image_shape, len(filters), shrink)
    inputs = x = keras.Input(image_shape)  # (H, W, C)
    norm_before, norm_after = (batch_norm and norm_position == p for p in ("before", "after"))
    for stage, channels in enumerate(filters):
        x = (layers.SeparableConv2D if convolution == "separable" and stage else layers.Conv2D)(
            channels * (pieces if activation == "maxout" else 1),
            3,
            padding="same",
            strides=2 if shrink == "stride" else 1,
            dilation_rate=2**stage if shrink == "never" else 1,
            use_bias=not norm_before,
        )(x)
        if norm_before:
            x = layers.BatchNormalization()(x)
        x = maxout(x, pieces) if activation == "maxout" else layers.Activation(activation)(x)
        if shrink == "pool":
            x = layers.MaxPooling2D()(x)
        if norm_after:
            x = layers.BatchNormalization()(x)
        # (H/2^stage, W/2^stage, channels), stages from 1; (H, W, channels) if it never shrinks
    x = (layers.Flatten if head == "flatten" else layers.GlobalAveragePooling2D)()(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="cnn_idea")


def maxout(x: keras.KerasTensor, pieces: int) -> keras.KerasTensor:
    """Return the largest of every `pieces` channels: (h, w, pieces * C) becomes (h, w, C)."""
    height, width, channels = x.shape[1:]
    return ops.max(ops.reshape(x, (-1, height, width, channels // pieces, pieces)), axis=-1)


def check_cnn_idea_images(image_shape: tuple[int, int, int], stages: int, shrink: str) -> None:
    """Raise SpecError for images that pools halve to nothing.

    Strided convolutions are padded, so that they leave a pixel of any image.
    """
    smallest = 2**stages if shrink == "pool" else 1
    if min(image_shape[:2]) < smallest:
        raise SpecError(
            f"the images are {image_shape[0]}x{image_shape[1]} and {stages} stages halve them",
            f"images of {smallest}x{smallest} or larger",
            f"dataset.image_size=[{smallest},{smallest}] or fewer model.filters",
        )
