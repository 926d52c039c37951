"""Splits -> batches: one data set over global steps, where batch k is a function of (spec, k).

Each epoch is a stateless shuffle of the indices, so that starting at any step costs nothing; the
augmentation's seed is derived from the step. Batches travel as uint8.
"""

from collections.abc import Callable

import tensorflow as tf

from cnntrain.datasets.source import Examples

# The streams of random numbers that share the run's seed.
ORDER, AUGMENTATION = 1, 2


def training(
    examples: Examples,
    batch_size: int,
    steps_per_epoch: int,
    augment: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    seed: int,
    start: int = 0,
) -> tf.data.Dataset:
    """Return the endless data set of training batches from step `start` on.

    Images (batch_size, H, W, C) uint8 and labels (batch_size,) int32. No example comes twice in an
    epoch; the few that whole batches leave out differ from epoch to epoch.
    """
    gather = gatherer(examples)
    count = len(examples)

    @tf.autograph.experimental.do_not_convert
    def indices(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), stream(seed, ORDER, epoch), alg="philox"
        )
        used = order[: steps_per_epoch * batch_size]
        return tf.data.Dataset.from_tensor_slices(tf.reshape(used, (steps_per_epoch, batch_size)))

    @tf.autograph.experimental.do_not_convert
    def batch(step: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = gather(chosen)
        return augment(images, labels, stream(seed, AUGMENTATION, step))

    first_epoch, skipped = divmod(start, steps_per_epoch)
    epochs = tf.data.Dataset.counter(first_epoch)
    steps = tf.data.Dataset.counter(start)
    order = epochs.flat_map(indices).skip(skipped)
    batches = tf.data.Dataset.zip(steps, order).map(batch, num_parallel_calls=2)
    return batches.prefetch(2)


def evaluation(examples: Examples, batch_size: int) -> tf.data.Dataset:
    """Return the images of every example exactly once, in order, the last batch maybe smaller."""
    gather = gatherer(examples)
    order = tf.data.Dataset.range(len(examples)).batch(batch_size)
    return order.map(lambda chosen: gather(chosen)[0], num_parallel_calls=2).prefetch(2)


def gatherer(examples: Examples) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A function from indices (B,) to images and labels, held in main memory."""
    with tf.device("CPU:0"):
        images, labels = tf.constant(examples.images), tf.constant(examples.labels)
    return lambda chosen: (tf.gather(images, chosen), tf.gather(labels, chosen))


def stream(seed: int, purpose: int, position: tf.Tensor) -> tf.Tensor:
    """The seed (2,) of the random numbers of one purpose at one step or epoch."""
    base = tf.constant([seed, purpose], tf.int64)
    return tf.random.fold_in(base, tf.cast(position, tf.int64), alg="philox")
