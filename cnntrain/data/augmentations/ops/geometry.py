"""Affine maps of whole batches: rotate, shift, shear, zoom and mirror in one interpolation.

A map is a matrix (3, 3). It sends the position (down, right, 1) of a pixel of the result, counted
in pixels from the centre of the image, to the position in the given image that this pixel shows.
So a product of maps reads in the order in which they happen: `make_rotation(a) @ make_shift(b, c)`
rotates, then shifts.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

Fill = Literal["nearest", "reflect", "constant"]
Interpolation = Literal["bilinear", "nearest"]
# Pixels to warp at once. Arrays of this length stay in the caches, and malloc gives out the same
# memory again; with whole batches half of the time goes into asking the system for more.
PIXELS = 2**13


def make_rotation(degrees: ArrayLike) -> np.ndarray:
    """Return the maps (B, 3, 3) that rotate images counter-clockwise by `degrees` (B,)."""
    sin, cos = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return stack_matrices((cos, sin, 0), (-sin, cos, 0))


def make_shift(down: ArrayLike, right: ArrayLike) -> np.ndarray:
    """Return the maps (B, 3, 3) that move images down and right by numbers of pixels (B,)."""
    return stack_matrices((1, 0, -np.asarray(down)), (0, 1, -np.asarray(right)))


def make_shear(down: ArrayLike, right: ArrayLike) -> np.ndarray:
    """Return the maps (B, 3, 3) that shear images by pixels per pixel, each (B,).

    A column moves down by `down` for each pixel that it lies right of the centre; a row moves right
    by `right` for each pixel that it lies below the centre.
    """
    return stack_matrices((1, -np.asarray(down), 0), (-np.asarray(right), 1, 0))


def make_zoom(down: ArrayLike, right: ArrayLike) -> np.ndarray:
    """Return the maps (B, 3, 3) that enlarge images by factors (B,) in height and width."""
    return stack_matrices((1 / np.asarray(down), 0, 0), (0, 1 / np.asarray(right), 0))


def make_flip(flips: ArrayLike) -> np.ndarray:
    """Return the maps (B, 3, 3) that mirror images left to right where `flips` (B,) is true."""
    return stack_matrices((1, 0, 0), (0, np.where(flips, -1, 1), 0))


def stack_matrices(down: tuple[ArrayLike, ...], right: tuple[ArrayLike, ...]) -> np.ndarray:
    """Return the matrices (B, 3, 3) of two rows, whose elements are numbers or arrays (B,)."""
    elements = np.broadcast_arrays(*down, *right, 0.0, 0.0, 1.0)
    return np.stack(elements, axis=-1).reshape(-1, 3, 3)


def warp_images(
    images: np.ndarray,
    matrices: np.ndarray,
    fill: Fill,
    grey: int = 0,
    interpolation: Interpolation = "bilinear",
) -> np.ndarray:
    """Return images (B, H, W, C) uint8 seen through the maps `matrices` (B, 3, 3).

    `fill` says what lies beyond the edges: `nearest` repeats the edge pixel, `reflect` mirrors the
    image again and again (with edge pixels twice), and `constant` is the grey level `grey`, into
    which edges blend within a pixel.
    """
    size = height, width = images.shape[1:3]
    count, rows = max(1, PIXELS // (height * width)), max(1, PIXELS // width)
    look = sample_bilinear if interpolation == "bilinear" else sample_nearest
    result = np.empty_like(images)
    for start in range(0, len(images), count):
        group = slice(start, start + count)
        pixels = pad_for_sampling(images[group], fill, grey)
        if interpolation == "bilinear":
            pixels = pixels.astype(np.float32)
        for top in range(0, height, rows):
            band = slice(top, top + rows)
            down, right = (
                compute_coordinates(matrices[group], axis, size, band, fill) for axis in (0, 1)
            )
            result[group, band] = look(pixels, down, right)
    return result


def pad_for_sampling(images: np.ndarray, fill: Fill, grey: int) -> np.ndarray:
    """Return images with one pixel more before and two behind, along both axes.

    Every position at which images are sampled then has four neighbours.
    """
    borders = [(0, 0), (1, 2), (1, 2), (0, 0)]
    if fill == "constant":
        return np.pad(images, borders, constant_values=grey)
    return np.pad(images, borders, "edge")


def compute_coordinates(
    matrices: np.ndarray, axis: int, size: tuple[int, int], band: slice, fill: Fill
) -> np.ndarray:
    """Return the positions (B, rows, W) float32 along `axis` at which a band of rows samples.

    They count in the padded images of `pad_for_sampling`; `size` is (H, W) without the padding.
    """
    by_row, by_column, moved = matrices[:, axis, :, None].astype(np.float32).swapaxes(0, 1)
    rows, columns = (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2) for n in size)
    length = size[axis]
    down_a_column = by_row * rows[band] + (moved + np.float32((length - 1) / 2))  # (B, rows)
    where = down_a_column[:, :, None] + (by_column * columns)[:, None, :]
    if fill == "reflect":
        where -= 2 * length * np.floor((where + 0.5) / (2 * length))  # from -0.5, one period
        where = length - 0.5 - np.abs(where + 0.5 - length)
    return np.clip(where, -1, length, out=where) + 1


def sample_nearest(pixels: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the pixels (B, rows, W, C) of images (B, h, w, C) nearest to positions."""
    indices = index_pixels(
        (down + 0.5).astype(np.int32), (right + 0.5).astype(np.int32), pixels.shape
    )
    return pixels.reshape(-1, pixels.shape[3]).take(indices, axis=0)


def sample_bilinear(pixels: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the bilinear means (B, rows, W, C) of images (B, h, w, C) at positions (B, rows, W).

    The weighted sums are the product with a sparse matrix, which takes a third of the time of
    indexing.
    """
    top, left = down.astype(np.int32), right.astype(np.int32)
    first, width = index_pixels(top, left, pixels.shape), pixels.shape[2]
    down, right = down - top.astype(np.float32), right - left.astype(np.float32)
    both = down * right
    weights = np.stack([1 - down - right + both, right - both, down - both, both], axis=-1)
    indices = np.stack([first, first + 1, first + width, first + width + 1], axis=-1)
    ends = np.arange(0, weights.size + 1, 4, dtype=np.int32)
    values = pixels.reshape(-1, pixels.shape[3])
    matrix = csr_array((weights.ravel(), indices.ravel(), ends), shape=(first.size, len(values)))
    return (matrix @ values + np.float32(0.5)).reshape(*first.shape, -1)


def index_pixels(down: np.ndarray, right: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the indices of pixels (down, right) into the flattened batch of that shape."""
    image = np.arange(shape[0], dtype=np.int32)[:, None, None]
    return (image * shape[1] + down) * shape[2] + right
