"""Examples of which each is a class of its own, and the training batches that are made of them."""

import numpy as np

from cnntrain.data import pipeline
from cnntrain.data.source import Examples
from cnntrain.spec.signatures import build_component

STEPS = 10  # an epoch of 103 examples in batches of 10


def build(name, **knobs):
    return build_component("augmentation", {"name": name, **knobs})


NONE = build("none")
CROP = build("flip_crop", pad=1, flip=0.5, alternate=False, border="black")
TURNS = build("flip_crop", pad=0, flip=0.5, alternate=True, border="reflect")
MIX, NOISE = build("mixup", alpha=1.0), build("noise", std=20)


def make_examples(count=103):
    images = np.arange(count * 4 * 4 * 3, dtype=np.uint32).astype(np.uint8)
    return Examples(images.reshape(count, 4, 4, 3), np.arange(count, dtype=np.int32))


def make_batches(
    augmentation=CROP, seed=0, on_device=False, examples=None, size=10, steps=STEPS,
    sampling="shuffled",
):  # fmt: skip
    examples = examples or make_examples()
    return pipeline.TrainingBatches(
        examples, 103, size, steps, augmentation, seed, on_device, sampling
    )


def list_batches(start=0, count=25, block=1, **options):
    """Return the images and labels of each step from `start` on, made in blocks of `block`."""
    batches, found = make_batches(**options), []
    for first in range(start, start + count, block):
        arrays = batches.make_block(first, min(block, start + count - first))
        for place in range(len(arrays["labels"])):
            batch = {name: array[place] for name, array in arrays.items()}
            images = batches.make_images(batches.store, batch)
            found.append((np.asarray(images), batch["labels"]))
    return found


def same(ours, theirs):
    return all(
        np.array_equal(x[i], y[i]) and x[i].dtype == y[i].dtype
        for x, y in zip(ours, theirs, strict=True)
        for i in (0, 1)
    )
