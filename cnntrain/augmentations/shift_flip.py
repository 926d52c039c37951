"""Shift by whole pixels and mirror: the augmentation of the Keras CIFAR-10 ResNet example."""

import tensorflow as tf

from cnntrain.augmentations.windows import chances, mirrored, offsets, take
from cnntrain.knobs import Fraction


def shift_flip(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, shift: Fraction, flip: Fraction
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images moved by up to `shift` of their size, edges repeated, mirrored with `flip`."""
    down, right, flips = draw(images, seed, shift, flip)
    return move(images, down, right, flips), labels


def draw(
    images: tf.Tensor, seed: tf.Tensor, shift: float, flip: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """How many pixels down and right, and whether mirrored, each (B, 1)."""
    count = tf.shape(images)[0]
    tall, wide = round(shift * images.shape[1]), round(shift * images.shape[2])
    seeds = tf.random.split(seed, 3, alg="philox")
    down, right = offsets(count, -tall, tall, seeds[0]), offsets(count, -wide, wide, seeds[1])
    return down, right, chances(count, flip, seeds[2])


def move(images: tf.Tensor, down: tf.Tensor, right: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    height, width = images.shape[1], images.shape[2]
    rows = tf.clip_by_value(tf.range(height) - down, 0, height - 1)
    columns = tf.clip_by_value(mirrored(tf.range(width), flip) - right, 0, width - 1)
    return take(images, rows, columns)
