"""No augmentation."""

import numpy as np


def none(
    images: np.ndarray, labels: np.ndarray, num_classes: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch unchanged."""
    return images, labels
