"""LeNet-5 as it is taught today (after LeCun et al. 1998): ReLU, max pooling, softmax."""

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count


def lenet5(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: tuple[Count, Count],
    hidden: tuple[Count, Count],
) -> keras.Model:
    """Return LeNet-5: float images (B, H, W, C) in, logits (B, num_classes) out.

    Raises SpecError for images smaller than 16x16.
    """
    if min(image_shape[:2]) < 16:
        raise SpecError(
            f"model=lenet5 got {image_shape[0]}x{image_shape[1]} images",
            "16x16 or larger",
            "dataset.image_size=[32,32]",
        )
    inputs = x = keras.Input(image_shape)  # (32, 32, C)
    for channels in filters:
        x = layers.Conv2D(channels, 5, activation="relu")(x)  # (28, 28, 6), (10, 10, 16)
        x = layers.MaxPooling2D()(x)  # (14, 14, 6), (5, 5, 16)
    x = layers.Flatten()(x)  # (400,)
    for units in hidden:
        x = layers.Dense(units, activation="relu")(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="lenet5")
