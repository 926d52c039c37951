"""Many plain convolutions, which show the use of shortcuts and batch normalisation.

The units are those of He et al. (2016, arXiv:1603.05027): batch normalisation and ReLU come before
the convolution, and the shortcuts are free of both, so that each switch changes nothing else.
"""

import functools

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.models.parts.deep import chain_blocks
from cnntrain.spec.knobs import Count, Depth


def cnn_depth(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: Depth,
    filters: Count,
    kernel_size: Count,
    pool: Count,
    residual: bool,
    batch_norm: bool,
    dense: list[Count],
) -> keras.Model:
    """Return `depth` convolutions: float images (B, H, W, C) in, logits (B, num_classes) out.

    A max pool of `pool` after the first one keeps the others cheap. With `residual` each of the
    others adds to its input instead of replacing it; without `batch_norm` they have biases. `dense`
    has the units of dense layers with ReLU between the global average pool and the logits.
    Raises SpecError for images smaller than the pool.
    """
    if min(image_shape[:2]) < pool:
        raise SpecError(
            f"the images are {image_shape[0]}x{image_shape[1]} and model.pool is {pool}",
            f"images of {pool}x{pool} or larger",
            f"dataset.image_size=[{pool},{pool}] or model.pool=1",
        )
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = conv(inputs, filters, kernel_size, batch_norm)
    if pool > 1:
        x = layers.MaxPooling2D(pool)(x)  # (H/pool, W/pool, filters)
    unit = functools.partial(
        conv_unit, kernel_size=kernel_size, residual=residual, batch_norm=batch_norm
    )
    x = chain_blocks(x, [unit] * (depth - 1))
    x = layers.GlobalAveragePooling2D()(batch_norm_relu(x, batch_norm))  # (filters,)
    for units in dense:
        x = layers.Dense(units, activation="relu")(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name=f"cnn_depth_{depth}")


def conv_unit(
    x: keras.KerasTensor, kernel_size: int, residual: bool, batch_norm: bool
) -> keras.KerasTensor:
    """Apply one convolution to (h, w, filters), which keeps its shape."""
    y = conv(batch_norm_relu(x, batch_norm), x.shape[-1], kernel_size, batch_norm)
    return layers.Add()([x, y]) if residual else y


def conv(
    x: keras.KerasTensor, filters: int, kernel_size: int, batch_norm: bool
) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel_size, padding="same", use_bias=not batch_norm)(x)


def batch_norm_relu(x: keras.KerasTensor, batch_norm: bool) -> keras.KerasTensor:
    if batch_norm:
        x = layers.BatchNormalization()(x)
    return layers.ReLU()(x)
