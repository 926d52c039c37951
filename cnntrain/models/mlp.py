"""Multi-layer perceptrons: the baseline that convolutional networks must beat."""

from typing import Literal

import keras
from keras import layers

from cnntrain.spec.knobs import Count, NonNegative


def mlp(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    hidden: list[Count],
    activation: Literal["linear", "relu", "leaky_relu", "tanh", "sigmoid", "elu", "gelu", "selu"],
    negative_slope: NonNegative,
    batch_norm: bool,
    norm_position: Literal["before", "after"],
) -> keras.Model:
    """Return a perceptron: float images (B, H, W, C) in, logits (B, num_classes) out.

    `negative_slope` is that of the leaky ReLU. `batch_norm` normalises the pixels, and every hidden
    layer before or after its activation: `norm_position`.
    """
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = layers.Flatten()(inputs)  # (H*W*C,)
    if batch_norm:
        x = layers.BatchNormalization()(x)
    for units in hidden:
        x = layers.Dense(units)(x)  # (units,)
        if batch_norm and norm_position == "before":
            x = layers.BatchNormalization()(x)
        x = apply_activation(x, activation, negative_slope)
        if batch_norm and norm_position == "after":
            x = layers.BatchNormalization()(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="mlp")


def apply_activation(
    x: keras.KerasTensor, activation: str, negative_slope: float
) -> keras.KerasTensor:
    if activation == "leaky_relu":
        return layers.LeakyReLU(negative_slope)(x)
    return layers.Activation(activation)(x)
