"""A first convolution that whitens patches of training images (arXiv:2404.00498, section 3.2)."""

import keras
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnntrain.data.source import Examples

LOOKED_AT = 5000  # training images, evenly over all of them
CHUNK = 250  # of them at once
EPSILON = 5e-4  # added to eigenvalues, so that directions of mere noise are not blown up


def whiten_first_layer(
    layer: keras.layers.Conv2D, normalisation: keras.layers.Layer, train: Examples
) -> None:
    """Set the kernel (h, w, C, 2 * h * w * C) of a convolution so that it whitens training images.

    Its filters are the principal directions of patches of the normalised images, divided by their
    standard deviations, and the same with the opposite sign.
    """
    height, width, channels, _ = layer.kernel.shape
    covariance = np.zeros((height * width * channels,) * 2)
    chosen = np.unique(np.linspace(0, len(train) - 1, LOOKED_AT).astype(int))
    patches = 0
    for first in range(0, len(chosen), CHUNK):
        images = train.gather_images(chosen[first : first + CHUNK])
        normalised = np.asarray(normalisation(images), np.float64)
        views = sliding_window_view(normalised, (height, width), axis=(1, 2))  # (b, y, x, C, h, w)
        rows = views.transpose(0, 1, 2, 4, 5, 3).reshape(-1, len(covariance))
        covariance += rows.T @ rows
        patches += len(rows)
    variances, directions = np.linalg.eigh(covariance / patches)
    filters = directions / np.sqrt(variances + EPSILON)  # (h * w * C, as many), a column each
    filters = filters[:, ::-1]  # the strongest first
    kernel = np.concatenate([filters, -filters], axis=1)
    layer.kernel.assign(kernel.reshape(layer.kernel.shape).astype(np.float32))
