"""Make batches from splits: batch k is a function of (spec, k), and blocks hold several batches.

Each epoch shuffles the indices statelessly, so starting at any step costs nothing; what is drawn
for a batch is drawn from (seed, step). Images travel as uint8, or stay on the device, and only what
is drawn travels.
"""

import functools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
import tensorflow as tf

from cnntrain.data.augmentations import Arrays, Augmentation, find_device_form
from cnntrain.data.augmentations.ops.batch_generator import BatchGenerator
from cnntrain.data.augmentations.ops.device import Tensor, take_images
from cnntrain.data.augmentations.ops.soft_labels import make_soft_labels
from cnntrain.data.source import Examples
from cnntrain.spec.signatures import Component

# The streams of random numbers that share the run's seed.
ORDER, AUGMENTATION, CROP, HALF, TURNS, DECK = 1, 2, 3, 4, 5, 6
Sampling = Literal["shuffled", "balanced"]
NOT_DRAWN = ("labels", "weights", "rows", "store")  # arrays of a batch that no augmentation draws
T = TypeVar("T")


class TrainingBatches:
    """The training batches of a phase: batch k is a function of (spec, k).

    A batch has images (B, H, W, C) uint8 and labels (B,) int32, or soft labels (B, num_classes)
    float32 if `augmentation` mixes images. Without augmentation, the features of frozen layers may
    stand for images. An epoch takes steps_per_epoch * batch_size different examples; which ones it
    leaves out differs from epoch to epoch. If `sampling` is `balanced`, it takes as many, each
    class equally often (see `balance_examples`). If examples have weights, a batch has `weights`
    (B,) float32, whose mean over all training examples is 1.

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
        sampling: Sampling = "shuffled",
    ):
        """Make a trial batch, which raises what the augmentation refuses."""
        self.examples, self.num_classes, self.seed = scale_weights(examples), num_classes, seed
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.augmentation = augmentation
        self.form = find_device_form(augmentation) if on_device else None
        # Threads share it. A block may cross the end of an epoch.
        self.find_order = functools.lru_cache(2)(
            functools.partial(
                order_examples, examples.labels, batch_size * steps_per_epoch, seed, sampling
            )
        )
        images = self.make_batch(0, np.arange(batch_size))["images"]
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

    def make_batch(self, step: int, chosen: np.ndarray) -> Arrays:
        """Return the batch of the examples `chosen` (B,), made on the host."""
        return make_training_batch(
            self.examples, self.num_classes, self.augmentation, self.seed, step,
            step // self.steps_per_epoch, chosen,
        )  # fmt: skip

    def make_block(self, first: int, count: int) -> Arrays:
        """Return the batches of `count` steps from `first` on: arrays (count, ...) by name.

        They are `labels`, `weights` if there are any, and `images` (count, B, H, W, C) uint8, or
        else `rows` (count, B) int32 of the store with what the augmentation draws. Threads may call
        it at once.
        """
        steps = range(first, first + count)
        chosen = np.stack([self.find_examples(step) for step in steps])  # (count, B)
        if self.form is None:
            return self.make_images_on_host(steps, chosen)
        batches: list[Arrays] = []
        for step, own in zip(steps, chosen, strict=True):
            epoch = step // self.steps_per_epoch
            random = make_batch_generator(self.seed, step, epoch, len(self.examples), own)
            draw = functools.partial(self.form.draw, self.shape)
            drawn, targets = augment_targets(draw, self.examples[own], self.num_classes, random)
            batches.append(drawn | targets)
        rows = self.examples.locate_rows(chosen).astype(np.int32)
        return stack_arrays(batches) | {"rows": rows}

    def make_images_on_host(self, steps: range, chosen: np.ndarray) -> Arrays:
        """Return images (count, B, H, W, C) and targets of the examples `chosen` (count, B)."""
        images, targets = np.empty((len(steps), *self.shape), self.dtype), list[Arrays]()
        for place, step, own in zip(images, steps, chosen, strict=True):
            batch = self.make_batch(step, own)
            place[:] = batch.pop("images")
            targets.append(batch)
        return {"images": images, **stack_arrays(targets)}

    def make_images(self, store: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the images (B, H, W, C) uint8 of one step of a block, in the compiled step.

        `store` is the tensor of `self.store`; it is not used if batches are made on the host.
        """
        if self.form is None:
            return batch["images"]
        drawn = {name: value for name, value in batch.items() if name not in NOT_DRAWN}
        return self.form.apply(take_images(store, batch["rows"]), drawn)


def stream_blocks(
    make: Callable[[int, int], T], spans: Iterable[tuple[int, int]], ahead: int = 2
) -> Generator[T, None, None]:
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


def order_examples(
    labels: np.ndarray, taken: int, seed: int, sampling: Sampling, epoch: int
) -> np.ndarray:
    """Return the indices, int32, of the examples of an epoch in their order, at least `taken`."""
    if sampling == "balanced":
        return balance_examples(labels, taken, seed, epoch)
    return shuffle_examples(len(labels), seed, epoch)


def balance_examples(labels: np.ndarray, count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the indices (count,) int32 of the examples of an epoch, each class equally often.

    Throughout a run the classes of `labels` (n,) take turns, so that no two ever differ by more
    than one draw; where their turns lie within the epoch is shuffled. The examples of a class come
    in passes, across epochs, too: each once, in an order of its own for each pass. So an epoch
    has a rare class's examples several times, and of a common one those that are next.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    ranks = make_generator(seed, TURNS, 0).permutation(len(classes))
    # Draw t of the run is of the class whose rank is t modulo the number of classes.
    starts, ends = (
        (draw - ranks + len(classes) - 1) // len(classes)
        for draw in (epoch * count, (epoch + 1) * count)
    )
    turns = np.repeat(np.arange(len(classes)), ends - starts)
    turns = make_generator(seed, TURNS, epoch + 1).permutation(turns)
    order = np.empty(count, np.int32)
    order[np.argsort(turns, kind="stable")] = np.concatenate([
        own[draw_passes(len(own), seed, number, int(start), int(end))]
        for number, (own, start, end) in enumerate(zip(members, starts, ends, strict=True))
    ])  # fmt: skip
    return order


def draw_passes(size: int, seed: int, number: int, start: int, end: int) -> np.ndarray:
    """Return draws `start` to `end` of a class of `size` examples, the class `number` of a run.

    Draws are indices below `size`. Each pass over the class is shuffled by itself.
    """
    first = start // size
    passes = [
        np.random.Generator(
            np.random.Philox(key=[seed, DECK], counter=[0, 0, number, turn])
        ).permutation(size)
        for turn in range(first, -(-end // size))
    ]
    drawn = np.concatenate([*passes, np.empty(0, int)])
    return drawn[start - first * size : end - first * size]


def shuffle_examples(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the indices (count,) int32 of all examples in the order of an epoch."""
    with tf.device("CPU:0"):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), derive_epoch_seed(seed, ORDER, epoch), alg="philox"
        )
    return order.numpy()


def make_training_batch(
    examples: Examples,
    num_classes: int,
    augment: Augmentation,
    seed: int,
    step: int,
    epoch: int,
    chosen: np.ndarray,
) -> Arrays:
    """Return the training batch of `step`: the examples `chosen` (B,), read, cropped, augmented.

    `epoch` is counted from 0. `images` are (B, H, W, C) uint8; for the others see
    `augment_targets`.
    """
    images = examples.gather_images(chosen, functools.partial(make_generator, seed, CROP, step))
    random = make_batch_generator(seed, step, epoch, len(examples), chosen)
    images, targets = augment_targets(
        functools.partial(augment, images), examples[chosen], num_classes, random
    )
    return {"images": images, **targets}


def augment_targets(
    augment: Callable[[np.ndarray, int, np.random.Generator], tuple[T, np.ndarray]],
    examples: Examples,
    num_classes: int,
    random: np.random.Generator,
) -> tuple[T, Arrays]:
    """Return what `augment` makes of a batch, and its targets.

    These are `labels`, (B,) int32 or soft labels (B, num_classes) float32, and `weights` (B,)
    float32 if the examples have any. `augment` takes labels, num_classes and random numbers, and
    returns labels last. The parts of a mixed image weigh as the images that they are from: it has
    the mean of their weights by its shares, and its soft label their shares by weight. So its loss
    is the mean, by the shares, of the weighted losses of both, as mixup has it without weights.
    """
    labels, weights = examples.labels, examples.weights
    if weights is None:
        found, labels = augment(labels, num_classes, random)
        return found, {"labels": labels}
    soft = make_soft_labels(labels, num_classes)
    carried = np.column_stack([soft * weights[:, np.newaxis], weights])  # (B, num_classes + 1)
    found, mixed = augment(carried, num_classes, random)
    if mixed is not carried:
        weights = mixed[:, -1]
        labels = mixed[:, :-1] / weights[:, np.newaxis]
    return found, {"labels": labels, "weights": weights}


def scale_weights(examples: Examples) -> Examples:
    """Return examples with their weights, if they have any, divided by the mean weight.

    So the mean loss is as large as without weights, and needs no other learning rate.
    """
    if examples.weights is None:
        return examples
    weights = examples.weights / examples.weights.mean(dtype=np.float64)
    return replace(examples, weights=weights.astype(np.float32))


def stack_arrays(batches: Sequence[Arrays]) -> Arrays:
    """Return the arrays (B, ...) of several batches as arrays (count, B, ...), by name."""
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}


def make_generator(seed: int, stream: int, step: int) -> np.random.Generator:
    """Return the generator of one stream at one step, independent of all others."""
    bits = np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step])
    return np.random.Generator(bits)


def make_batch_generator(
    seed: int, step: int, epoch: int, count: int, chosen: np.ndarray
) -> BatchGenerator:
    """Return the generator that augments the examples `chosen` (B,) of `count` at one step."""
    half = draw_half(seed, count)[chosen] ^ (epoch % 2 == 1)
    return BatchGenerator(make_generator(seed, AUGMENTATION, step).bit_generator, half)


@functools.lru_cache(2)
def draw_half(seed: int, count: int) -> np.ndarray:
    """Draw for each training example (count,) whether it is in the half of the even epochs."""
    return make_generator(seed, HALF, 0).random(count) < 0.5


def derive_epoch_seed(seed: int, stream: int, epoch: tf.Tensor | int) -> tf.Tensor:
    """Return the seed (2,) int64 for the random numbers of one stream in one epoch."""
    base = tf.constant([seed, stream], tf.int64)
    return tf.random.fold_in(base, tf.cast(epoch, tf.int64), alg="philox")
