"""One small convnet, and ideas that each change one thing in it; to train side by side in minutes.

Three 3x3 convolutions and a dense layer: four layers with weights, like the networks with which
Krizhevsky et al. (2012, Fig. 1) compared ReLU and tanh. They saw ReLU reach 25 % training error on
CIFAR-10 six times sooner. From He's weights and standardised pixels tanh is hardly later (one seed,
batch 128, constant rates that were not searched): in epoch 8 like ReLU with Adam at 0.001, in epoch
10 instead of 9 with SGD at 0.01 and momentum 0.9.
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
    activation: Literal["relu", "tanh", "maxout"],
    pieces: Count,
    shrink: Literal["pool", "stride", "never"],
    batch_norm: bool,
    head: Literal["flatten", "average"],
) -> keras.Model:
    """Return a small convnet: float images (B, H, W, C) in, logits (B, num_classes) out.

    Every stage is a 3x3 convolution of `filters` maps, batch normalisation if asked, and the
    activation; `maxout` takes the largest of `pieces` maps. A stage halves the image by a 2x2 max
    pool or a stride of 2, or never: then the next ones see twice as far by dilation instead.
    `separable` is depthwise, then pointwise, in all stages but the first.
    Raises SpecError for images that are gone before the last stage.
    """
    check_cnn_idea_images(image_shape, len(filters), shrink)
    inputs = x = keras.Input(image_shape)  # (H, W, C)
    for stage, maps in enumerate(filters):
        x = (layers.SeparableConv2D if convolution == "separable" and stage else layers.Conv2D)(
            maps * (pieces if activation == "maxout" else 1),
            3,
            padding="same",
            strides=2 if shrink == "stride" else 1,
            dilation_rate=2**stage if shrink == "never" else 1,
            use_bias=not batch_norm,
        )(x)
        if batch_norm:
            x = layers.BatchNormalization()(x)
        x = maxout(x, pieces) if activation == "maxout" else layers.Activation(activation)(x)
        if shrink == "pool":
            x = layers.MaxPooling2D()(x)
        # (H/2^stage, W/2^stage, maps), stages from 1; (H, W, maps) if it never shrinks
    x = (layers.Flatten if head == "flatten" else layers.GlobalAveragePooling2D)()(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="cnn_idea")


def maxout(x: keras.KerasTensor, pieces: int) -> keras.KerasTensor:
    """The largest of every `pieces` neighbouring maps: (h, w, pieces * maps) to (h, w, maps)."""
    height, width, maps = x.shape[1:]
    return ops.max(ops.reshape(x, (-1, height, width, maps // pieces, pieces)), axis=-1)


def check_cnn_idea_images(image_shape: tuple[int, int, int], stages: int, shrink: str) -> None:
    """Refuse images that pools halve to nothing; a padded stride leaves a pixel of any image."""
    smallest = 2**stages if shrink == "pool" else 1
    if min(image_shape[:2]) < smallest:
        raise SpecError(
            f"the images are {image_shape[0]}x{image_shape[1]} and {stages} stages halve them",
            f"images of {smallest}x{smallest} or larger",
            f"dataset.image_size=[{smallest},{smallest}] or fewer model.filters",
        )
