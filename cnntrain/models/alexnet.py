"""AlexNet (Krizhevsky, Sutskever & Hinton 2012, NeurIPS), also with batch normalisation."""

from typing import Literal, NamedTuple

import keras
from keras import layers, ops

from cnntrain.errors import SpecError
from cnntrain.models.parts.blocks import local_response_norm
from cnntrain.spec.knobs import Count, Probability, Variant


class Conv(NamedTuple):
    """A convolution, and the window of the max pool of stride 2 behind it; 0 means no pool."""

    filters: int
    kernel: int
    strides: int
    padding: str
    pool: int


VARIANTS = {
    "paper": [  # section 3.5, Figure 2
        Conv(96, 11, 4, "valid", 3),
        Conv(256, 5, 1, "same", 3),
        Conv(384, 3, 1, "same", 0),
        Conv(384, 3, 1, "same", 0),
        Conv(256, 3, 1, "same", 3),
    ],
    "valid": [  # the last three are not padded, as in many courses
        Conv(96, 11, 4, "valid", 3),
        Conv(256, 5, 1, "same", 3),
        Conv(384, 3, 1, "valid", 0),
        Conv(384, 3, 1, "valid", 0),
        Conv(256, 3, 1, "valid", 3),
    ],
    "valid_11": [  # no padding, 2x2 pools, and a second kernel as large as the first
        Conv(96, 11, 4, "valid", 2),
        Conv(256, 11, 1, "valid", 2),
        Conv(384, 3, 1, "valid", 0),
        Conv(384, 3, 1, "valid", 0),
        Conv(256, 3, 1, "valid", 2),
    ],
}
NORMALISED = ("conv1", "conv2")  # by local response normalisation (section 3.3)
GROUPED = (2, 4, 5)  # the convolutions that the paper splits between its two GPUs


def alexnet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: Variant,
    groups: Literal[1, 2],
    norm: Literal["lrn", "batch", "none"],
    norm_position: Literal["before", "after"],
    hidden: list[Count],
    dropout: Probability,
    dropout_position: Literal["before", "after"],
) -> keras.Model:
    """Return an AlexNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    With two `groups` the second, fourth and fifth convolution see half of the feature maps each, as
    on the two GPUs of the paper. `norm` is local response normalisation behind the first two
    convolutions, or batch normalisation of every layer but the last. `norm_position` before puts
    them where their papers have them: local response normalisation before the pool, batch
    normalisation before the ReLU. After is behind both, and behind the dropout of a hidden layer.
    `dropout_position` says where the dropout of every hidden layer is.
    Raises SpecError if the images are so small that nothing is left before the last pool.
    """
    table = VARIANTS[variant]
    check_alexnet_images(image_shape, table)
    inputs = x = keras.Input(image_shape)  # (227, 227, C)
    for number, row in enumerate(table, start=1):
        x = conv(x, row, groups if number in GROUPED else 1, f"conv{number}")
        if norm == "batch" and norm_position == "before":
            x = normalise(x, norm, f"conv{number}")
        x = layers.ReLU(name=f"conv{number}_relu")(x)
        if norm == "lrn" and norm_position == "before":
            x = normalise(x, norm, f"conv{number}")
        if row.pool:
            x = layers.MaxPooling2D(row.pool, 2, name=f"pool{number}")(x)
        if norm_position == "after":
            x = normalise(x, norm, f"conv{number}")
    # (27, 27, 96), (13, 13, 256), (13, 13, 384) twice, (6, 6, 256)

    x = layers.Flatten(name="flatten")(x)  # (9216,)
    for number, units in enumerate(hidden, start=len(table) + 1):
        if dropout_position == "before":
            x = layers.Dropout(dropout)(x)
        x = layers.Dense(units, name=f"fc{number}")(x)
        if norm_position == "before":
            x = normalise(x, norm, f"fc{number}")
        x = layers.ReLU(name=f"fc{number}_relu")(x)
        if dropout_position == "after":
            x = layers.Dropout(dropout)(x)
        if norm_position == "after":
            x = normalise(x, norm, f"fc{number}")
    logits = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name="alexnet")


def conv(x: keras.KerasTensor, row: Conv, groups: int, name: str) -> keras.KerasTensor:
    """Apply one convolution, or one for each group of feature maps.

    The groups are split by hand: with Keras' own `groups` training takes eight times as long on a
    CPU (measured on the second convolution).
    """
    if groups == 1:
        return layers.Conv2D(row.filters, row.kernel, row.strides, row.padding, name=name)(x)
    parts = [
        layers.Conv2D(
            row.filters // groups,
            row.kernel,
            row.strides,
            row.padding,
            name=f"{name}_group{number}",
        )(part)
        for number, part in enumerate(ops.split(x, groups, axis=-1), start=1)
    ]
    return layers.Concatenate(name=name)(parts)


def normalise(x: keras.KerasTensor, norm: str, name: str) -> keras.KerasTensor:
    """Apply the normalisation that follows the layer `name`, if any; that layer keeps its bias."""
    if norm == "batch":
        return layers.BatchNormalization(name=f"{name}_bn")(x)
    return local_response_norm(x) if norm == "lrn" and name in NORMALISED else x


def check_alexnet_images(image_shape: tuple[int, int, int], table: list[Conv]) -> None:
    """Raise SpecError for images of which nothing is left after the last pool."""
    smallest = 1
    for row in reversed(table):  # from the last output back to the image
        if row.pool:
            smallest = (smallest - 1) * 2 + row.pool
        margin = row.kernel if row.padding == "valid" else 1
        smallest = (smallest - 1) * row.strides + margin
    if min(image_shape[:2]) < smallest:
        raise SpecError(
            f"model=alexnet got {image_shape[0]}x{image_shape[1]} images",
            f"{smallest}x{smallest} or larger",
            f"dataset.image_size=[{smallest},{smallest}]",
        )
