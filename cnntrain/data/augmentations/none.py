"""No augmentation."""

import numpy as np

from cnntrain.data.augmentations import DeviceForm


def none(
    images: np.ndarray, labels: np.ndarray, num_classes: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch unchanged."""
    return images, labels


def on_device() -> DeviceForm:
    return DeviceForm(
        lambda shape, labels, num_classes, random: ({}, labels), lambda images, drawn: images
    )
