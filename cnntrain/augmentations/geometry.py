"""Affine maps of whole batches: turned, moved, sheared, zoomed, mirrored, any of them in one go.

A map is a matrix (3, 3) that sends the place (down, right, 1) of a pixel of the result, counted in
pixels from the centre of the image, to the place in the given image that it shows. So products of
maps read in the order in which they happen: `rotation(a) @ shift(b, c)` turns, then moves.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

Fill = Literal["nearest", "reflect", "constant"]
Interpolation = Literal["bilinear", "nearest"]
# Pixels to warp at once: arrays of this length stay in the caches, and malloc hands the same memory
# out again instead of asking the system for it.
PIXELS = 2**14


def rotation(degrees: ArrayLike) -> np.ndarray:
    """The maps (B, 3, 3) that turn images counter-clockwise by `degrees` (B,)."""
    sin, cos = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return maps((cos, sin, 0), (-sin, cos, 0))


def shift(down: ArrayLike, right: ArrayLike) -> np.ndarray:
    """The maps (B, 3, 3) that move images down and right by so many pixels, each (B,)."""
    return maps((1, 0, -np.asarray(down)), (0, 1, -np.asarray(right)))


def shear(down: ArrayLike, right: ArrayLike) -> np.ndarray:
    """The maps (B, 3, 3) that shear images by so many pixels a pixel, each (B,).

    A column moves down by `down` for each pixel that it lies right of the centre, a row moves
    right by `right` for each pixel that it lies below.
    """
    return maps((1, -np.asarray(down), 0), (-np.asarray(right), 1, 0))


def zoom(down: ArrayLike, right: ArrayLike) -> np.ndarray:
    """The maps (B, 3, 3) that make what images show so many times as tall and wide, each (B,)."""
    return maps((1 / np.asarray(down), 0, 0), (0, 1 / np.asarray(right), 0))


def flip(flips: ArrayLike) -> np.ndarray:
    """The maps (B, 3, 3) that mirror images left to right where `flips` (B,) is true."""
    return maps((1, 0, 0), (0, np.where(flips, -1, 1), 0))


def maps(down: tuple[ArrayLike, ...], right: tuple[ArrayLike, ...]) -> np.ndarray:
    """The matrices (B, 3, 3) of these two rows, whose elements are numbers or arrays (B,)."""
    elements = np.broadcast_arrays(*down, *right, 0.0, 0.0, 1.0)
    return np.stack(elements, axis=-1).reshape(-1, 3, 3)


def warp(
    images: np.ndarray,
    matrices: np.ndarray,
    fill: Fill,
    grey: int = 0,
    interpolation: Interpolation = "bilinear",
) -> np.ndarray:
    """Return images (B, H, W, C) uint8 seen through the maps `matrices` (B, 3, 3).

    Beyond the edges lies the nearest pixel, or the image mirrored, edge pixels twice, again and
    again, or a constant `grey`, into which edges blend within a pixel.
    """
    result = np.empty_like(images)
    count = max(1, PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), count):
        group = slice(start, start + count)
        result[group] = warp_group(images[group], matrices[group], fill, grey, interpolation)
    return result


def warp_group(
    images: np.ndarray, matrices: np.ndarray, fill: Fill, grey: int, interpolation: Interpolation
) -> np.ndarray:
    padded = bordered(images, fill, grey)  # (B, H + 3, W + 3, C)
    down, right = (places(matrices, axis, images.shape[1:3], fill) for axis in (0, 1))
    if interpolation == "nearest":
        down, right = down + 0.5, right + 0.5
    top, left = down.astype(np.int32), right.astype(np.int32)  # (B, H, W)
    height, width = padded.shape[1:3]
    image = np.arange(len(images), dtype=np.int32)[:, None, None]
    corners = (image * height + top) * width + left  # the pixels of the group counted through
    pixels = padded.reshape(-1, images.shape[3])
    if interpolation == "nearest":
        return pixels.take(corners, axis=0)
    down -= top
    right -= left
    return means(pixels, corners, down, right, width).reshape(images.shape)


def bordered(images: np.ndarray, fill: Fill, grey: int) -> np.ndarray:
    """The images with a pixel before and two behind, so that every place has four neighbours."""
    borders = [(0, 0), (1, 2), (1, 2), (0, 0)]
    if fill == "constant":
        return np.pad(images, borders, constant_values=grey)
    return np.pad(images, borders, "edge")


def places(matrices: np.ndarray, axis: int, size: tuple[int, ...], fill: Fill) -> np.ndarray:
    """Where along `axis` of the bordered image the pixels of the result lie, (B, H, W) float32."""
    by_row, by_column, moved = matrices[:, axis, :, None].astype(np.float32).swapaxes(0, 1)
    rows, columns = (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2) for n in size)
    length = size[axis]
    along_column = by_row * rows + (moved + np.float32((length - 1) / 2))  # (B, H)
    where = along_column[:, :, None] + (by_column * columns)[:, None, :]
    if fill == "reflect":
        where -= 2 * length * np.floor((where + 0.5) / (2 * length))  # (0, 2 * length) - 0.5
        where = length - 0.5 - np.abs(where + 0.5 - length)
    return np.clip(where, -1, length, out=where) + 1


def means(
    pixels: np.ndarray, corners: np.ndarray, down: np.ndarray, right: np.ndarray, width: int
) -> np.ndarray:
    """The means of the pixels `corners` and those right, below and diagonal, weighted by place.

    It is the product with a sparse matrix, in a third of the time that numpy's indexing takes.
    """
    both = down * right
    weights = np.stack([1 - down - right + both, right - both, down - both, both], axis=-1)
    indices = np.stack([corners, corners + 1, corners + width, corners + width + 1], axis=-1)
    rows = np.arange(0, weights.size + 1, 4, dtype=np.int32)
    matrix = csr_array((weights.ravel(), indices.ravel(), rows), shape=(corners.size, len(pixels)))
    return (matrix @ pixels.astype(np.float32) + np.float32(0.5)).astype(np.uint8)
