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
    """Return what the last of `ops` makes of what those before it have made of the batch."""
    for op, own in zip(ops, spawn_generators(len(ops), random), strict=True):
        images, labels = op(images, labels, num_classes, own)
    return images, labels


def spawn_generators(count: int, random: np.random.Generator) -> list[np.random.Generator]:
    """Random numbers for each place in the list, whatever the others draw and how many follow."""
    keys = random.integers(2**64, size=(count, 2), dtype=np.uint64)
    return [np.random.Generator(np.random.Philox(key=key)) for key in keys]
