"""Normalisation: the first layer of every trained network, which takes raw pixels (0-255).

It is a float32 `Rescaling` with its statistics as constants, so that it is saved and exported with
the network and nobody can normalise twice.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from cnntrain.data.source import Examples


def build_normalisation(kind: str, train: Examples) -> keras.layers.Rescaling:
    """Return the layer for `kind`, with statistics of the training split only.

    `none` leaves the pixels (0-255) as they are; `rescale` maps to 0..1; `standardise` to mean 0
    and standard deviation 1 in each channel; `pixel_mean` maps to 0..1 and subtracts the mean image
    (He et al. 2015, arXiv:1512.03385, section 4.2); `mean_rgb` only subtracts the mean of each
    channel from the pixels, 0-255 (Simonyan & Zisserman 2014, arXiv:1409.1556, section 2.1).
    """
    scale, offset = {
        "none": lambda train: (1.0, 0.0),
        "rescale": lambda train: (1 / 255, 0.0),
        "standardise": compute_standardisation,
        "pixel_mean": compute_pixel_mean,
        "mean_rgb": compute_mean_rgb,
    }[kind](train)
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalisation")


def tile_normalisation(layer: keras.layers.Layer) -> Callable[[Any], Any]:
    """Return a function that does to images (B, H, W, C) what `layer` does, bit for bit.

    Its constants have a value for each number of an image, because to broadcast one for each
    channel costs a small network 6 % of its step on a CPU.
    """
    if not isinstance(layer, keras.layers.Rescaling):
        return layer
    constants = [np.asarray(value, np.float32) for value in (layer.scale, layer.offset)]

    def normalise(images: Any) -> Any:
        scale, offset = (np.broadcast_to(value, images.shape[1:]).ravel() for value in constants)
        flat = ops.cast(ops.reshape(images, (images.shape[0], -1)), "float32")
        return ops.reshape(flat * scale + offset, images.shape)

    return normalise


def compute_standardisation(train: Examples) -> tuple[list[float], list[float]]:
    """Return scale and offset (C,) from exact counts of the 256 values of each channel."""
    values, channels = np.arange(256), train.store.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for images in train.iterate_images():
        for c in range(channels):
            counts[c] += np.bincount(images[..., c].ravel(), minlength=256)
    means = np.array([np.average(values, weights=n) for n in counts])
    squares = np.array([np.average(values**2, weights=n) for n in counts])
    deviations = np.sqrt(np.maximum(squares - means**2, 0))
    scale = 1 / np.where(deviations == 0, 255, deviations)  # a channel of one value stays finite
    return scale.tolist(), (-means * scale).tolist()


def compute_pixel_mean(train: Examples) -> tuple[float, list[list[list[float]]]]:
    """Return the scale to 0..1, and the negated mean image (H, W, C) as the offset."""
    total = sum(images.sum(axis=0, dtype=np.int64) for images in train.iterate_images())
    return 1 / 255, (-(total / len(train)) / 255).tolist()


def compute_mean_rgb(train: Examples) -> tuple[float, list[float]]:
    """Return the scale 1, and the negated mean (C,) of each channel as the offset."""
    sums = sum(images.sum(axis=(0, 1, 2), dtype=np.int64) for images in train.iterate_images())
    return 1.0, (-(sums / (len(train) * math.prod(train.store.shape[1:3])))).tolist()
