"""Several augmentations, one after another."""

import numpy as np

from cnntrain.data.augmentations import Augmentation


def compose(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    ops: list[Augmentation],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch after all of `ops`, each applied to the result of the one before."""
    for op, own in zip(ops, spawn_generators(len(ops), random), strict=True):
        images, labels = op(images, labels, num_classes, own)
    return images, labels


def spawn_generators(count: int, random: np.random.Generator) -> list[np.random.Generator]:
    """Return `count` generators, one for each place in the list.

    Each is independent of what the others draw and of how many follow it.
    """
    keys = random.integers(2**64, size=(count, 2), dtype=np.uint64)
    return [np.random.Generator(np.random.Philox(key=key)) for key in keys]
