"""Many plain 3x3 convolutions, to see what shortcuts and batch normalisation are for.

The units are those of He et al. (2016, arXiv:1603.05027): batch normalisation and ReLU stand before
the convolution and nothing stands on the way of the shortcuts, so each switch changes nothing else.
"""

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.knobs import Count

# Keras follows a graph by recursion, layer by layer, when it makes or loads a model; Python allows
# about a thousand calls. Longer networks are made of models of at most so many units.
PART = 100


def cnn_depth(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: Count,
    filters: Count,
    pool: Count,
    residual: bool,
    batch_norm: bool,
) -> keras.Model:
    """Return `depth` 3x3 convolutions: float images (B, H, W, C) in, logits (B, num_classes) out.

    A max pool of `pool` after the first one keeps the others cheap. With `residual` each of the
    others adds to its input instead of replacing it; without `batch_norm` they have biases.
    Raises SpecError for images smaller than the pool.
    """
    if min(image_shape[:2]) < pool:
        raise SpecError(
            f"the images are {image_shape[0]}x{image_shape[1]} and model.pool is {pool}",
            f"images of {pool}x{pool} or larger",
            f"dataset.image_size=[{pool},{pool}] or model.pool=1",
        )
    inputs = keras.Input(image_shape)  # (H, W, C)
    x = conv(inputs, filters, batch_norm)
    if pool > 1:
        x = layers.MaxPooling2D(pool)(x)  # (H/pool, W/pool, filters)
    if depth - 1 <= PART:
        x = units(x, depth - 1, residual, batch_norm)
    else:
        for start in range(0, depth - 1, PART):
            count = min(PART, depth - 1 - start)
            begin = keras.Input(x.shape[1:])
            end = units(begin, count, residual, batch_norm)
            x = keras.Model(begin, end, name=f"units_{start + 1}_{start + count}")(x)
    x = layers.GlobalAveragePooling2D()(active(x, batch_norm))  # (filters,)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name=f"cnn_depth_{depth}")


def units(x: keras.KerasTensor, count: int, residual: bool, batch_norm: bool) -> keras.KerasTensor:
    """(h, w, filters) stays that, through `count` convolutions."""
    for _ in range(count):
        y = conv(active(x, batch_norm), x.shape[-1], batch_norm)
        x = layers.Add()([x, y]) if residual else y
    return x


def conv(x: keras.KerasTensor, filters: int, batch_norm: bool) -> keras.KerasTensor:
    return layers.Conv2D(filters, 3, padding="same", use_bias=not batch_norm)(x)


def active(x: keras.KerasTensor, batch_norm: bool) -> keras.KerasTensor:
    if batch_norm:
        x = layers.BatchNormalization()(x)
    return layers.ReLU()(x)
