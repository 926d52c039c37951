"""Plainer forms of functions of ours, which do the same for a run that ends in a script."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnntrain.data.pipeline import ORDER


def shuffle_examples(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the indices (count,) of all examples in the order of an epoch."""
    base = tf.constant([seed, ORDER], tf.int64)
    own = tf.random.fold_in(base, tf.cast(epoch, tf.int64), alg="philox")
    return tf.random.experimental.stateless_shuffle(tf.range(count), own, alg="philox").numpy()


def load_pretrained(
    build: Callable, described: str, weights: str, weights_dir: str | None
) -> keras.Model:
    """Return a network with weights that exist: Keras looks in its cache, then on the network."""
    return build(weights=weights)


def pad_images(images: np.ndarray, tall: int, wide: int, border: str) -> np.ndarray:
    """Return images with `tall` more rows above and below, `wide` more columns on both sides."""
    mode: Any = {"black": "constant", "reflect": "reflect", "edge": "edge"}[border]
    return np.pad(images, [(0, 0), (tall, tall), (wide, wide), (0, 0)], mode)


def mirror_images(images: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Return the images with those where `flips` (B,) is true mirrored left to right."""
    return np.where(flips[:, np.newaxis, np.newaxis, np.newaxis], images[:, :, ::-1], images)
