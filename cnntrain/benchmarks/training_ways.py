"""Ways to train a network for an epoch: ours, the bare step, Keras' `fit`, a tutorial's script."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cnntrain.benchmarks.bare_step import prepare_bare_steps
from cnntrain.benchmarks.request import TRAINING_WAYS
from cnntrain.benchmarks.turns import Announce, Comparison, Turns
from cnntrain.data.source import Examples, Splits
from cnntrain.runs.directory import Run, claim_temporary_run
from cnntrain.spec.spec import Spec
from cnntrain.training.fit import prepare_fit
from cnntrain.training.loop import Progress
from cnntrain.training.networks.build import reset_keras

CLASSES = 10
SHUFFLED = 10_000  # examples in the tutorial's buffer
PAD = 4  # pixels on each side, as our flip_crop


def train_ours(spec: Spec, run: Run, splits: Splits, progress: Progress) -> None:
    """Train a run as `cnntrain` does: the one use of the room `training` for our whole stream."""
    prepare_fit(spec, run, splits, progress).train()


def compare_trainings(
    model: str, spec: Spec, splits: Splits, names: tuple[str, ...], rounds: int, announce: Announce
) -> Comparison:
    """Train in each of the named ways, in turn, and return the timings of their epochs."""
    steps = len(splits.train) // spec.batch_size
    prepare = {
        "bare": lambda: prepare_bare_steps(spec, splits, steps),
        "fit": lambda: prepare_keras_fit(spec, splits),
        "tutorial": lambda: prepare_tutorial(spec, splits),
        "torch": lambda: prepare_torch(model, spec, splits),
    }
    ways = {name: prepare[name]() for name in TRAINING_WAYS if name in names and name in prepare}
    turns = Turns(ways, rounds, announce)
    if "cnntrain" in names:
        with claim_temporary_run(spec.config) as run:
            train_ours(spec, run, splits, turns)
    else:
        for _ in range(rounds + 1):
            turns.run_round()
    timings = {name: turns.timings[name] for name in TRAINING_WAYS if name in turns.timings}
    return Comparison(
        f"{model}, training",
        describe_training(spec),
        "cnntrain",
        steps * spec.batch_size,
        timings,
        turns.list_epoch_ends(),
    )


def describe_training(spec: Spec) -> str:
    """Return which batches are trained on, and which of the ways augment them."""
    name = spec.augmentation.name
    augmented = "no augmentation" if name == "none" else f"augmented: cnntrain ({name}), tutorial"
    return f"batches of {spec.batch_size}; {augmented}"


def make_random_splits(image_shape: tuple[int, int, int], count: int, batch_size: int) -> Splits:
    """Return splits of random pixels: the time of a step does not depend on what they show.

    There are `count` images to train with, and one batch of them to validate with.
    """
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *image_shape), np.uint8)
    train = Examples(images, random.integers(0, CLASSES, count).astype(np.int32))
    few = train[np.arange(batch_size)]
    names = tuple(str(number) for number in range(CLASSES))
    return Splits(train, few, few, names, {"train": "", "valid": "", "test": ""})


def build_plain_network(spec: Spec, splits: Splits) -> keras.Model:
    """Return the network of a spec, for pixels from 0 to 1, with the weights Keras begins with."""
    reset_keras(spec.precision)
    return spec.model(splits.image_shape, len(splits.class_names))


def compile_keras_model(network: keras.Model) -> keras.Model:
    """Return a network that is compiled as people compile it."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return network


def prepare_keras_fit(spec: Spec, splits: Splits) -> Callable[[], object]:
    """Return a function that trains for an epoch by `fit` on uint8 arrays, without augmentation."""
    pixels = keras.Input(splits.image_shape, dtype="uint8")
    body = build_plain_network(spec, splits)
    network = keras.Model(pixels, body(keras.layers.Rescaling(1 / 255)(pixels)))
    compile_keras_model(network)
    images, labels = splits.train.images, splits.train.labels
    return lambda: network.fit(images, labels, batch_size=spec.batch_size, verbose=0)


def prepare_tutorial(spec: Spec, splits: Splits) -> Callable[[], object]:
    """Return a function that trains for an epoch by the script that every tutorial has.

    Images are shuffled, made float and, if our run augments, flipped, padded and cropped one by
    one; then they are batched.
    """
    network = compile_keras_model(build_plain_network(spec, splits))
    is_augmented = spec.augmentation.name != "none"

    def make_example(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.cast(image, tf.float32) / 255  # (H, W, C)
        if is_augmented:
            image = tf.image.random_flip_left_right(image)
            image = tf.pad(image, [[PAD, PAD], [PAD, PAD], [0, 0]])
            image = tf.image.random_crop(image, splits.image_shape)
        return image, label

    examples = tf.data.Dataset.from_tensor_slices((splits.train.images, splits.train.labels))
    batches = (
        examples.shuffle(SHUFFLED)
        .map(make_example, tf.data.AUTOTUNE)
        .batch(spec.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    return lambda: network.fit(batches, shuffle=False, verbose=0)


def prepare_torch(model: str, spec: Spec, splits: Splits) -> Callable[[], object]:
    """Return a function that trains for an epoch in PyTorch, which is loaded only here."""
    from cnntrain.benchmarks.torch_way import prepare_torch_epoch

    return prepare_torch_epoch(model, spec, splits)
