"""No augmentation."""

import tensorflow as tf


def none(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the batch as it is."""
    return images, labels
