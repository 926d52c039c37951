"""The augmentations: one file each, `f(images, labels, num_classes, random, *, knobs)`.

An augmentation takes a whole batch: images (B, H, W, C) uint8 with labels (B,) int32, or soft
labels (B, num_classes) float32. It returns images of the same shape and type, with labels of
either kind. It is stateless: one function draws its parameters from `random`, another applies
them, and neither writes to its arguments.

A file may also define `on_device(*, knobs)`. It returns a `DeviceForm` that gives the same bytes,
or None if there is none for these knobs.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnntrain.spec.signatures import Component

# An augmentation with its knobs bound: takes images, labels, num_classes and random numbers.
Augmentation = Callable[
    [np.ndarray, np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]
]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class DeviceForm:
    """An augmentation in two parts: numbers drawn on the host, and images changed on the device.

    `draw` takes the shape (B, H, W, C) of the images, labels, num_classes and random numbers. It
    returns arrays by name, whose shapes and types never change, and the labels to train on.
    `apply` takes images (B, H, W, C) uint8 and tensors by name, those of these arrays and maybe
    others, and returns images uint8. It runs in the compiled step, in `keras.ops` on static shapes.
    """

    draw: Callable[
        [tuple[int, ...], np.ndarray, int, np.random.Generator], tuple[Arrays, np.ndarray]
    ]
    apply: Callable[[Any, Mapping[str, Any]], Any]


def find_device_form(augmentation: Component) -> DeviceForm | None:
    """Return the form of an augmentation that changes images on the device; None if it has none."""
    bound = augmentation.bound_function
    on_device = getattr(importlib.import_module(bound.func.__module__), "on_device", None)
    return None if on_device is None else on_device(**bound.keywords)
