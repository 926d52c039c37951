"""Moving and mirroring a batch by two gathers: no interpolation, any dtype, no loop over images."""

import tensorflow as tf


def take(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Return the pixels at `rows` (B, h) and `columns` (B, w) of images (B, H, W, C)."""
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def offsets(count: tf.Tensor, low: int, high: int, seed: tf.Tensor) -> tf.Tensor:
    """Whole numbers from `low` to `high`, both possible, one for each image (B, 1)."""
    shape = tf.stack([count, 1])
    return tf.random.stateless_uniform(shape, seed, low, high + 1, tf.int32, alg="philox")


def chances(count: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """True with `probability`, for each image (B, 1)."""
    return tf.random.stateless_uniform(tf.stack([count, 1]), seed, alg="philox") < probability


def mirrored(columns: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """The column numbers (w,) for each image (B, w), from right to left where `flip` (B, 1)."""
    return tf.where(flip, columns[tf.newaxis, ::-1], columns[tf.newaxis, :])
