"""The augmentations: one file each, `f(images, labels, num_classes, random, *, knobs)`.

They take a whole batch, images (B, H, W, C) uint8 with labels (B,) int32 or shares of the classes
(B, num_classes) float32, and return images of the same shape and type with labels of either kind.
They are stateless: parameters are drawn from `random` first and applied second, as two functions,
and what is given is never written to.
"""

from collections.abc import Callable

import numpy as np

# A component of this group whose knobs are given.
Augmentation = Callable[
    [np.ndarray, np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]
]
