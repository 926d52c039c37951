"""Look at every image once: a small grey copy of it, how sharp it is, how even, how large.

The images of all splits are numbered through: those of train, then of valid, then of test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from cnntrain.data.photos.decode import (
    PHOTOS_AT_ONCE,
    get_thread_pool,
    try_to_decode,
    try_to_read,
)
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.data.photos.photo import Frame, find_upright_size, open_image, read_header
from cnntrain.data.source import Examples, Splits
from cnntrain.terminal.progress import show_progress

COPY_SIDE = 32  # pixels of a grey copy, which is what perceptual hashes are made of
LOOK_SIDE = 256  # pixels of the longer side at which sharpness is measured


class Look(NamedTuple):
    """What was measured of one image: see `ImageLooks`."""

    copy: np.ndarray
    sharpness: float
    spread: float
    size: tuple[int, int]


@dataclass(frozen=True)
class ImageLooks:
    """What was measured of the n images of all splits.

    `copies` (n, 32, 32) uint8 are the images in grey, stretched to a square. The others are
    measured on an image whose longer side has been reduced to LOOK_SIDE: `sharpness` (n,) is the
    variance of its Laplacian (Pech-Pacheco et al. 2000), `spread` (n,) the standard deviation of
    that colour which varies most. `sizes` (n, 2) are the height and width as stored. Of a photo
    that cannot be decoded, `sharpness` and `spread` are nan.
    """

    copies: np.ndarray
    sharpness: np.ndarray
    spread: np.ndarray
    sizes: np.ndarray

    @property
    def typical_side(self) -> float:
        """The median of the images' shorter sides in pixels, as stored."""
        return float(np.median(self.sizes.min(axis=1)))

    @property
    def typical_size(self) -> tuple[int, int] | None:
        """The median height and width in pixels, as stored; None if no image can be decoded."""
        sizes = self.sizes[self.sizes.min(axis=1) > 0]
        return tuple(np.median(sizes, axis=0).astype(int).tolist()) if len(sizes) else None


UNREADABLE = Look(np.zeros((COPY_SIDE, COPY_SIDE), np.uint8), np.nan, np.nan, (0, 0))


def look_at_images(splits: Splits) -> ImageLooks:
    """Return what there is to see of all images of the splits; photos are decoded once.

    It takes 1 KiB of memory for each image.
    """
    count = sum(len(part) for _, part in splits.items())
    looks = ImageLooks(
        np.empty((count, COPY_SIDE, COPY_SIDE), np.uint8),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty((count, 2), np.int32),
    )
    blocks = (block for _, part in splits.items() for block in iterate_looks(part))
    number = 0
    for block in show_progress(blocks, count, "looking at images"):
        for look in block:
            looks.copies[number] = look.copy
            looks.sharpness[number], looks.spread[number] = look.sharpness, look.spread
            looks.sizes[number] = look.size
            number += 1
    return looks


def iterate_looks(part: Examples) -> Iterator[list[Look]]:
    """Yield the looks of a split's images in order, in blocks."""

    def look_at_example(index: int) -> Look:
        pixels, size = read_example(part, index, LOOK_SIDE)
        return UNREADABLE if pixels is None else measure_image(pixels, size)

    for start in range(0, len(part), PHOTOS_AT_ONCE):
        block = range(start, min(start + PHOTOS_AT_ONCE, len(part)))
        yield list(get_thread_pool().map(look_at_example, block))


def measure_image(pixels: np.ndarray, size: tuple[int, int]) -> Look:
    """Return what there is to see of pixels (H, W, 1 or 3) uint8 of an image stored in `size`."""
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    grey = image.convert("L")
    copy = grey.resize((COPY_SIDE, COPY_SIDE), Image.Resampling.BILINEAR)
    laplacian = ndimage.laplace(np.asarray(grey, np.float32), mode="nearest")
    spread = pixels.reshape(-1, pixels.shape[-1]).std(axis=0).max()
    return Look(np.asarray(copy), float(laplacian.var()), float(spread), size)


def read_example(
    part: Examples, index: int, side: int
) -> tuple[np.ndarray | None, tuple[int, int]]:
    """Return an image (h, w, C) uint8 of a split, and its (height, width) as stored.

    Its longer side is reduced to `side` pixels where it is longer, and its aspect ratio is kept,
    also where training stretches or crops. The image is None if it cannot be decoded.
    """
    rows = part.locate_rows(np.array([index]))
    if isinstance(part.store, LazyImages):
        return read_stored_photo(part.store, int(rows[0]), side)
    pixels = np.asarray(part.store[rows][0])
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((side, side), Image.Resampling.BILINEAR)
    reduced = np.asarray(image)
    return reduced.reshape(*reduced.shape[:2], pixels.shape[-1]), (height, width)


def read_stored_photo(
    store: LazyImages, row: int, side: int
) -> tuple[np.ndarray | None, tuple[int, int]]:
    """Return what `read_example` returns, for a photo in a file."""
    content = try_to_read(store.photos.read, row)
    try:
        assert isinstance(content, bytes)
        with open_image(content) as opened:
            height, width = find_upright_size(read_header(opened))
    except Exception:  # a broken file may raise anything
        return None, (0, 0)
    scale = min(1, side / max(height, width))
    reduced = max(1, round(height * scale)), max(1, round(width * scale))
    channels: Literal[1, 3] = store.frame.channels
    photo = try_to_decode(content, Frame(reduced, channels, "stretch", store.frame.value_range))
    return (None if isinstance(photo, str) else photo.pixels), (height, width)
