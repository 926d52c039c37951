"""Make batches from splits: an endless data set in which batch k is a function of (spec, k).

Each epoch shuffles the indices statelessly, so starting at any step costs nothing; what is drawn
for a batch is drawn from (seed, step). Batches travel as uint8.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cnntrain.data.augmentations import Augmentation
from cnntrain.data.source import Examples

# The streams of random numbers that share the run's seed.
ORDER, AUGMENTATION, CROP = 1, 2, 3


def make_training_batches(
    examples: Examples,
    num_classes: int,
    batch_size: int,
    steps_per_epoch: int,
    augment: Augmentation,
    seed: int,
    start: int = 0,
) -> tf.data.Dataset:
    """Return the endless data set of training batches from step `start` on.

    A batch has images (batch_size, H, W, C) uint8 and labels (batch_size,) int32, or soft labels
    (batch_size, num_classes) float32 if `augment` mixes images. An epoch takes steps_per_epoch *
    batch_size different examples; which ones it leaves out differs from epoch to epoch.
    """
    count = len(examples)

    @tf.autograph.experimental.do_not_convert
    def indices(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffled = tf.random.experimental.stateless_shuffle(
            tf.range(count), derive_epoch_seed(seed, ORDER, epoch), alg="philox"
        )
        used = shuffled[: steps_per_epoch * batch_size]
        return tf.data.Dataset.from_tensor_slices(tf.reshape(used, (steps_per_epoch, batch_size)))

    def batch(step: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return make_training_batch(examples, num_classes, augment, seed, int(step), chosen)

    first_epoch, skipped = divmod(start, steps_per_epoch)
    epochs = tf.data.Dataset.counter(first_epoch)
    steps = tf.data.Dataset.counter(start)
    rows = epochs.flat_map(indices).skip(skipped)  # (batch_size,) indices for each step
    # A trial batch gives the types, and raises here what the augmentation refuses.
    trial = batch(start, np.arange(batch_size))
    fetch = wrap_for_graph(batch, trial, batch_size)
    return tf.data.Dataset.zip(steps, rows).map(fetch, num_parallel_calls=2).prefetch(2)


def split_batches(batches: tf.data.Dataset, count: int, wanted: range) -> tf.data.Dataset:
    """Cut each batch into `count` equal parts and return the parts `wanted`, one after another.

    Every worker makes the whole batch, because augmentation may mix examples across its parts.
    """

    @tf.autograph.experimental.do_not_convert
    def cut(*batch: tf.Tensor) -> tf.data.Dataset:
        shared = [tf.reshape(x, (count, x.shape[0] // count, *x.shape[1:])) for x in batch]
        return tf.data.Dataset.from_tensor_slices(
            tuple(x[wanted.start : wanted.stop] for x in shared)
        )

    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return batches.flat_map(cut).apply(endless)


def make_training_batch(
    examples: Examples,
    num_classes: int,
    augment: Augmentation,
    seed: int,
    step: int,
    chosen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training batch of `step`: the examples `chosen` (B,), read, cropped, augmented.

    Images are (B, H, W, C) uint8, labels (B,) int32 or soft labels (B, num_classes) float32.
    """
    images = examples.gather_images(chosen, make_generator(seed, CROP, step))
    random = make_generator(seed, AUGMENTATION, step)
    return augment(images, examples.labels[chosen], num_classes, random)


def make_evaluation_batches(
    examples: Examples, batch_size: int, multiple: int = 1
) -> tf.data.Dataset:
    """Return batches (B, H, W, C) uint8 of all examples in order, without their labels.

    The last batch may be smaller. The last example is repeated as padding until the number of
    images is a multiple of `multiple`, the replicas; the caller drops what comes of the padding.
    """

    def batch(chosen: np.ndarray) -> tuple[np.ndarray]:
        return (examples.gather_images(chosen),)

    count = len(examples)
    whole = -(-count // multiple) * multiple
    order = tf.data.Dataset.range(whole).map(lambda n: tf.minimum(n, count - 1)).batch(batch_size)
    fetch = wrap_for_graph(batch, batch(np.arange(1)), None)
    return order.map(fetch, num_parallel_calls=2).prefetch(2)


def wrap_for_graph(
    batch: Callable[..., tuple[np.ndarray, ...]],
    example: tuple[np.ndarray, ...],
    batch_size: int | None,
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Return `batch` as a function for tf.data, whose results are like the batch `example`.

    They have its types and, but for the batch dimension `batch_size`, its shapes.

    It is declared stateless, because it is: otherwise a deterministic data set would not run it in
    parallel.
    """

    @tf.autograph.experimental.do_not_convert
    def fetch(*arguments: tf.Tensor) -> tuple[tf.Tensor, ...]:
        types = [array.dtype for array in example]
        tensors = tf.numpy_function(batch, arguments, types, stateful=False)
        for tensor, array in zip(tensors, example, strict=True):
            tensor.set_shape((batch_size, *array.shape[1:]))
        return tuple(tensors)

    return fetch


def make_generator(seed: int, stream: int, step: int) -> np.random.Generator:
    """Return the generator of one stream at one step, independent of all others."""
    bits = np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step])
    return np.random.Generator(bits)


def derive_epoch_seed(seed: int, stream: int, epoch: tf.Tensor) -> tf.Tensor:
    """Return the seed (2,) int64 for the random numbers of one stream in one epoch."""
    base = tf.constant([seed, stream], tf.int64)
    return tf.random.fold_in(base, tf.cast(epoch, tf.int64), alg="philox")
