"""The augmentations: one file each, `f(images, labels, num_classes, random, *, knobs)`.

An augmentation takes a whole batch: images (B, H, W, C) uint8 with labels (B,) int32, or soft
labels (B, num_classes) float32. It returns images of the same shape and type, with labels of
either kind. It is stateless: one function draws its parameters from `random`, another applies
them, and neither writes to its arguments.
"""

from collections.abc import Callable

import numpy as np

# An augmentation with its knobs bound: takes images, labels, num_classes and random numbers.
Augmentation = Callable[
    [np.ndarray, np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]
]
