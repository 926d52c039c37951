"""Make batches from splits: batch k is a function of (spec, k), and blocks hold several batches.

Each epoch shuffles the indices statelessly, so starting at any step costs nothing; what is drawn
for a batch is drawn from (seed, step). Images travel as uint8, or stay on the device, and only what
is drawn travels.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import tensorflow as tf

from cnntrain.data.augmentations import Arrays, Augmentation, find_device_form
from cnntrain.data.augmentations.ops.device import Tensor, take_images
from cnntrain.data.source import Examples
from cnntrain.spec.signatures import Component

# The streams of random numbers that share the run's seed.
ORDER, AUGMENTATION, CROP = 1, 2, 3
T = TypeVar("T")


class TrainingBatches:
    """The training batches of a phase: batch k is a function of (spec, k).

    A batch has images (B, H, W, C) uint8 and labels (B,) int32, or soft labels (B, num_classes)
    float32 if `augmentation` mixes images. Without augmentation, the features of frozen layers may
    stand for images. An epoch takes steps_per_epoch * batch_size different examples; which ones it
    leaves out differs from epoch to epoch.

    If `on_device`, the device keeps `store`, and a block has the rows of the images in it and what
    the augmentation draws, in place of images. The images have the same bytes either way.
    `explain_host_only` says where this is impossible.
    """

    def __init__(
        self,
        examples: Examples,
        num_classes: int,
        batch_size: int,
        steps_per_epoch: int,
        augmentation: Component,
        seed: int,
        on_device: bool,
    ):
        """Make a trial batch, which raises what the augmentation refuses."""
        self.examples, self.num_classes, self.seed = examples, num_classes, seed
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.augmentation = augmentation
        self.form = find_device_form(augmentation) if on_device else None
        # Threads share it. A block may cross the end of an epoch.
        self.find_order = functools.lru_cache(2)(
            functools.partial(shuffle_examples, len(examples), seed)
        )
        images, _ = self.make_batch(0, np.arange(batch_size))
        self.shape, self.dtype = images.shape, images.dtype

    @property
    def store(self) -> np.ndarray:
        """The images (N, H, W, C) that the device keeps."""
        assert isinstance(self.examples.store, np.ndarray)
        return self.examples.store

    def find_examples(self, step: int) -> np.ndarray:
        """Return the indices (B,) of the examples of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self.find_order(epoch)[place * self.batch_size : (place + 1) * self.batch_size]

    def make_batch(self, step: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and labels of the examples `chosen` (B,), made on the host."""
        return make_training_batch(
            self.examples, self.num_classes, self.augmentation, self.seed, step, chosen
        )

    def make_block(self, first: int, count: int) -> Arrays:
        """Return the batches of `count` steps from `first` on: arrays (count, ...) by name.

        They are `labels`, and `images` (count, B, H, W, C) uint8, or else `rows` (count, B) int32
        of the store with what the augmentation draws. Threads may call it at once.
        """
        steps = range(first, first + count)
        chosen = np.stack([self.find_examples(step) for step in steps])  # (count, B)
        if self.form is None:
            return self.make_images_on_host(steps, chosen)
        batches: list[Arrays] = []
        for step, own in zip(steps, chosen, strict=True):
            random = make_generator(self.seed, AUGMENTATION, step)
            labels = self.examples.labels[own]
            drawn, labels = self.form.draw(self.shape, labels, self.num_classes, random)
            batches.append(drawn | {"labels": labels})
        block = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
        return block | {"rows": self.examples.locate_rows(chosen).astype(np.int32)}

    def make_images_on_host(self, steps: range, chosen: np.ndarray) -> Arrays:
        """Return images (count, B, H, W, C) and labels of the examples `chosen` (count, B)."""
        images, labels = np.empty((len(steps), *self.shape), self.dtype), []
        for batch, step, own in zip(images, steps, chosen, strict=True):
            batch[:], own_labels = self.make_batch(step, own)
            labels.append(own_labels)
        return {"images": images, "labels": np.stack(labels)}

    def make_images(self, store: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the images (B, H, W, C) uint8 of one step of a block, in the compiled step.

        `store` is the tensor of `self.store`; it is not used if batches are made on the host.
        """
        if self.form is None:
            return batch["images"]
        return self.form.apply(take_images(store, batch["rows"]), batch)


def stream_blocks(
    make: Callable[[int, int], T], spans: Iterable[tuple[int, int]], ahead: int = 2
) -> Iterator[T]:
    """Yield make(first, count) for each span in order, while threads make `ahead` more.

    A span is asked for only when its block can be begun, by the thread that takes the blocks. What
    `make` raises is raised in place of the block. The threads end with the iterator.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(2, "blocks")
    try:
        for span in spans:
            waiting.append(pool.submit(make, *span))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def explain_host_only(examples: Examples, augmentation: Component) -> str | None:
    """Return why batches cannot be made on the device, in a few words; None if they can."""
    store = examples.store
    if hasattr(store, "draw_crops"):
        return "photos are cropped at random as they are decoded"
    if not isinstance(store, np.ndarray):
        return "photos are decoded for each batch"
    if isinstance(store, np.memmap):
        return "the images are in a file on disk"
    if find_device_form(augmentation) is None:
        return f"augmentation={augmentation.name}, as it is set, has no form for the device"
    return None


def shuffle_examples(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the indices (count,) int32 of all examples in the order of an epoch."""
    with tf.device("CPU:0"):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), derive_epoch_seed(seed, ORDER, epoch), alg="philox"
        )
    return order.numpy()


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
    images = examples.gather_images(chosen, functools.partial(make_generator, seed, CROP, step))
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


def derive_epoch_seed(seed: int, stream: int, epoch: tf.Tensor | int) -> tf.Tensor:
    """Return the seed (2,) int64 for the random numbers of one stream in one epoch."""
    base = tf.constant([seed, stream], tf.int64)
    return tf.random.fold_in(base, tf.cast(epoch, tf.int64), alg="philox")
