"""Small convnets, the first models of a course: stages of a 3x3 convolution and a max pool."""

from typing import Literal

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count, Probability


def cnn(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: list[Count],
    padding: Literal["same", "valid"],
    pool: Count,
    final_pool: bool,
    stage_dropout: Probability,
    activation: Literal["relu", "tanh", "sigmoid", "elu", "gelu", "selu"],
    hidden: Count | None,
    dropout: Probability,
    batch_norm: bool,
    norm_position: Literal["before", "after"],
    one_logit: bool,
) -> keras.Model:
    """Return a convnet: float images (B, H, W, C) in, logits (B, num_classes) out.

    Every stage is a 3x3 convolution of `filters` filters, batch normalisation if asked, the
    activation and a max pool of `pool` (in the last stage only with `final_pool`; none if it is 1).
    The normalisation stands before the activation, or after it and the pool: `norm_position`.
    `stage_dropout` follows the stages, `dropout` the hidden layer; `hidden` None leaves out both.
    With `one_logit` two classes share one logit (B, 1).
    Raises SpecError if the images are so small that nothing is left before the last stage.
    """
    check_cnn_images(image_shape, len(filters), padding, pool, final_pool)
    inputs = x = keras.Input(image_shape)  # (H, W, C)
    norm_before, norm_after = (batch_norm and norm_position == p for p in ("before", "after"))
    for stage, channels in enumerate(filters, start=1):
        x = layers.Conv2D(channels, 3, padding=padding, use_bias=not norm_before)(x)
        if norm_before:
            x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x) if activation == "relu" else layers.Activation(activation)(x)
        if pool > 1 and (final_pool or stage < len(filters)):
            x = layers.MaxPooling2D(pool)(x)  # (H/pool^stage, W/pool^stage, channels)
        if norm_after:
            x = layers.BatchNormalization()(x)
    if stage_dropout:
        x = layers.Dropout(stage_dropout)(x)
    x = layers.Flatten()(x)
    if hidden:
        x = layers.Dense(hidden, activation=activation)(x)
    if hidden and dropout:
        x = layers.Dropout(dropout)(x)
    units = 1 if one_logit and num_classes == 2 else num_classes
    logits = layers.Dense(units, dtype="float32")(x)
    return keras.Model(inputs, logits, name="cnn")


def check_cnn_images(
    image_shape: tuple[int, int, int], stages: int, padding: str, pool: int, final_pool: bool
) -> None:
    """Raise SpecError for images of which nothing is left after the last stage."""
    smallest = 1
    for stage in range(stages, 0, -1):  # from the last stage's output back to the image
        smallest *= pool if final_pool or stage < stages else 1
        smallest += 2 if padding == "valid" else 0
    if min(image_shape[:2]) < smallest:
        raise SpecError(
            f"the images are {image_shape[0]}x{image_shape[1]} and the network has {stages} stages",
            f"images of {smallest}x{smallest} or larger",
            f"dataset.image_size=[{smallest},{smallest}] or fewer model.filters",
        )
