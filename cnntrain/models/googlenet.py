"""GoogLeNet, the first Inception network (Szegedy et al. 2014, arXiv:1409.4842)."""

from typing import Literal

import keras
from keras import layers

from cnntrain.models.parts.blocks import local_response_norm
from cnntrain.models.parts.inception_parts import (
    TABLE_1,
    check_inception_images,
    conv,
    inception_module,
)
from cnntrain.spec.knobs import NonNegative, Probability

POOL_BEFORE = ("4a", "5a")
AUXILIARY_AFTER = ("4a", "4d")


def googlenet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    stem: Literal["paper", "small"],
    dropout: Probability,
    auxiliary_weight: NonNegative,
    auxiliary_dropout: Probability,
) -> keras.Model:
    """Return GoogLeNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    `stem` is the paper's, which divides the image by 8 before module 3a, or `small`, which divides
    it by 2, for images of 32x32. With an `auxiliary_weight` the model returns three logits: those
    of the network, then those of the auxiliary classifiers after 4a and 4d; 0 leaves these out.
    Raises SpecError for images below 32x32 (8x8 with the small stem). The classifiers need 65x65
    (17x17), because their 5x5 pool takes the grid of 4a, a 16th (4th) of the image.
    """
    stride = 8 if stem == "paper" else 2
    heads = 2 * stride * 4 + 1 if auxiliary_weight else None
    check_inception_images("googlenet", image_shape, 4 * stride, heads)

    inputs = keras.Input(image_shape)  # (224, 224, 3)
    x = stem_googlenet(inputs, stem)  # (28, 28, 192)
    auxiliary = []
    for name, (one, reduce3, three, reduce5, five, projection) in TABLE_1.items():
        if name in POOL_BEFORE:
            x = layers.MaxPooling2D(3, 2, padding="same")(x)  # (14, 14, 480), (7, 7, 832)
        chains = [[(one, 1)], [(reduce3, 1), (three, 3)], [(reduce5, 1), (five, 5)]]
        x = inception_module(x, chains, projection, "bias", pool="max")
        if auxiliary_weight and name in AUXILIARY_AFTER:
            auxiliary.append(auxiliary_logits(x, num_classes, auxiliary_dropout))
    x = layers.GlobalAveragePooling2D()(x)  # (1024,)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    network = keras.Model(inputs, [logits, *auxiliary] if auxiliary else logits, name="googlenet")
    network.auxiliary = (auxiliary_weight,) * len(auxiliary)
    return network


def stem_googlenet(x: keras.KerasTensor, stem: str) -> keras.KerasTensor:
    """Apply the stem; the small one keeps the size of the image up to its last pool."""
    if stem == "paper":
        x = conv(x, 64, 7, "bias", strides=2)  # (H/2, W/2, 64)
        x = layers.MaxPooling2D(3, 2, padding="same")(x)  # (H/4, W/4, 64)
    else:
        x = conv(x, 64, 3, "bias")  # (H, W, 64)
    x = local_response_norm(x)
    x = conv(x, 64, 1, "bias")
    x = conv(x, 192, 3, "bias")  # (…, 192)
    x = local_response_norm(x)
    return layers.MaxPooling2D(3, 2, padding="same")(x)  # (H/8, W/8, 192), small (H/2, W/2, 192)


def auxiliary_logits(x: keras.KerasTensor, num_classes: int, dropout: float) -> keras.KerasTensor:
    """Return the logits of a classifier beside the network (section 5)."""
    x = layers.AveragePooling2D(5, 3)(x)  # (4, 4, 512) from (14, 14, 512)
    x = conv(x, 128, 1, "bias")
    x = layers.Flatten()(x)  # (2048,)
    x = layers.Dense(1024, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(num_classes, dtype="float32")(x)
