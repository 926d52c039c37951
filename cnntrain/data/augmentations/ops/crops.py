"""Crop, pad and mirror a batch by whole pixels: no interpolation, no loop over images."""

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def crop_windows(
    images: np.ndarray, down: np.ndarray, right: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Return from each image (B, H, W, C) the window of `size` that begins at (down, right)."""
    views = sliding_window_view(images, size, axis=(1, 2))  # (B, y, x, C, h, w)
    return views.transpose(0, 1, 2, 4, 5, 3)[np.arange(len(images)), down, right]  # (B, h, w, C)


def pad_images(
    images: np.ndarray, tall: int, wide: int, fill: Literal["black", "edge"]
) -> np.ndarray:
    """Return images with `tall` more rows above and below, `wide` more columns on both sides."""
    mode: Literal["constant", "edge"] = "constant" if fill == "black" else "edge"
    return np.pad(images, [(0, 0), (tall, tall), (wide, wide), (0, 0)], mode)


def mirror_images(images: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Return the images with those where `flips` (B,) is true mirrored left to right."""
    result = images.copy()
    result[flips] = images[flips, :, ::-1]
    return result
