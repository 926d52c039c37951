"""Pad, crop at a random place, mirror: the CIFAR augmentation of He et al. (2015, section 4.2)."""

import tensorflow as tf

from cnntrain.augmentations.windows import chances, mirrored, offsets, take
from cnntrain.knobs import Fraction, Natural


def flip_crop(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, pad: Natural, flip: Fraction
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return crops of the size of the images from the images padded by `pad` black pixels.

    `flip` is the probability that an image is mirrored left to right.
    """
    down, right, flips = draw(tf.shape(images)[0], seed, pad, flip)
    return crop(images, down, right, flips, pad), labels


def draw(count: tf.Tensor, seed: tf.Tensor, pad: int, flip: float) -> tuple[tf.Tensor, ...]:
    """Where each crop begins in the padded image, and whether it is mirrored, each (B, 1)."""
    seeds = tf.random.split(seed, 3, alg="philox")
    down, right = offsets(count, 0, 2 * pad, seeds[0]), offsets(count, 0, 2 * pad, seeds[1])
    return down, right, chances(count, flip, seeds[2])


def crop(
    images: tf.Tensor, down: tf.Tensor, right: tf.Tensor, flip: tf.Tensor, pad: int
) -> tf.Tensor:
    height, width = images.shape[1], images.shape[2]
    padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    return take(padded, tf.range(height) + down, mirrored(tf.range(width), flip) + right)
