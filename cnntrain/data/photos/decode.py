"""Decode many photos in parallel: their pixels, which files are broken, and why.

Pillow decodes and resizes without holding Python's lock, so that threads keep all cores busy.
"""

import functools
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import UnidentifiedImageError

from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.modes import (
    Span,
    ValueRange,
    choose_bit_range,
    has_high_bit_depth,
    is_grey,
    read_raw_mode,
    read_sixteen_bit_span,
)
from cnntrain.data.photos.photo import (
    ChooseBox,
    DecodedPhoto,
    Frame,
    Photos,
    decode_photo,
    find_upright_size,
    open_image,
    read_header,
)
from cnntrain.data.photos.readers import FileReader
from cnntrain.errors import SpecError
from cnntrain.terminal.progress import show_progress

PHOTOS_AT_ONCE = 64  # files held in memory together; a phone's photos have 5 MB each
UNREAD = bytes(32)  # stands for the digest of a file that cannot be read


@dataclass(frozen=True)
class PhotoScan:
    """What reading all photos once, without decoding them, has shown.

    `digests` (N,) are the sha256 of the files. `broken` gives the reason for each row whose file
    cannot be read or is no image. `deep` lists the rows of photos of more than 8 bits.
    """

    digests: np.ndarray
    broken: dict[int, str]
    deep: list[int]


@functools.cache
def get_thread_pool() -> ThreadPoolExecutor:
    """Return the threads that decode photos, one per core; the first call makes them."""
    return ThreadPoolExecutor(os.cpu_count())


def scan_photos(photos: Photos) -> PhotoScan:
    """Read the file of every photo and the header of every image, and return a PhotoScan."""

    def scan_photo(row: int) -> tuple[bytes, str | None, bool]:
        digest = UNREAD
        try:
            content = photos.read(row)
            digest = hashlib.sha256(content).digest()
            with open_image(content) as image:
                return digest, None, has_high_bit_depth(image, read_raw_mode(image))
        except Exception as error:  # a broken file may raise anything
            return digest, explain_broken_photo(error), False

    parts = show_progress(iterate_row_ranges(len(photos)), len(photos), "reading photos")
    found = [known for rows in parts for known in get_thread_pool().map(scan_photo, rows)]
    digests, reasons, depths = zip(*found, strict=True)
    broken = {row: why for row, why in enumerate(reasons) if why is not None}
    return PhotoScan(
        np.array(digests, "V32"), broken, [row for row, deep in enumerate(depths) if deep]
    )


def resolve_value_range(
    photos: Photos, scan: PhotoScan, value_range: ValueRange
) -> tuple[Span | None, set[int]]:
    """Return the (low, high) that becomes black and white, and the rows it cannot be used for.

    `auto` becomes the range of the bits that the greatest value of all 16-bit photos needs, or None
    without such photos. It cannot be used for photos of more than 16 bits, nor for deep photos that
    cannot be decoded.
    """
    if value_range != "auto":
        return value_range, set()

    def read_span(row: int) -> Span | None:
        try:
            content = photos.read(row)
            with open_image(content) as image:
                return read_sixteen_bit_span(content, image)
        except Exception:  # a broken file, which the decoding names
            return None

    spans = dict(zip(scan.deep, get_thread_pool().map(read_span, scan.deep), strict=True))
    greatest = max((span[1] for span in spans.values() if span), default=None)
    unsuited = {row for row, span in spans.items() if span is None}
    return None if greatest is None else choose_bit_range(greatest), unsuited


def find_common_shape(photos: Photos, largest: int | None) -> tuple[int, int, Literal[1, 3]] | None:
    """Return the (height, width, channels) that all photos share, or None if their sizes differ.

    Also returns None if a side is longer than `largest`. A mixture of colour and grey photos counts
    as colour. No pixels are decoded, and reading stops after the block of PHOTOS_AT_ONCE files that
    holds the first photo that differs.
    """

    def read_shape(row: int) -> tuple[tuple[int, int], bool] | None:
        try:
            with open_image(photos.read(row)) as image:
                return find_upright_size(read_header(image)), is_grey(image)
        except Exception:  # a broken file, which is left out
            return None

    sizes, are_grey = set[tuple[int, int]](), set[bool]()
    for rows in iterate_row_ranges(len(photos)):
        found = [known for known in get_thread_pool().map(read_shape, rows) if known is not None]
        sizes |= {size for size, _ in found}
        are_grey |= {grey for _, grey in found}
        if len(sizes) > 1 or max(map(max, sizes), default=0) > (largest or math.inf):
            return None
    return (*sizes.pop(), 1 if are_grey == {True} else 3) if sizes else None


def decode_all_photos(
    photos: Photos, scan: PhotoScan, frame: Frame, findings: Findings
) -> Iterator[np.ndarray]:
    """Yield all photos in order, as arrays (b, H, W, C) uint8, black where one is broken.

    Meanwhile what users should know of the photos is added to `findings`, which is complete once
    the last array has been taken. Raises SpecError if a file has changed since it was scanned.
    """
    findings.value_range, unsuited = resolve_value_range(photos, scan, frame.value_range)
    settled = replace(frame, value_range=findings.value_range)
    refused = replace(frame, value_range=None)  # its error says which setting they need

    def decode_row(row: int) -> DecodedPhoto | str:
        if row in scan.broken:
            return scan.broken[row]
        content = read_unchanged(photos, row, scan.digests[row])
        return try_to_decode(content, refused if row in unsuited else settled)

    for rows in show_progress(iterate_row_ranges(len(photos)), len(photos), "decoding photos"):
        found = list(get_thread_pool().map(decode_row, rows))
        for row, photo in zip(rows, found, strict=True):
            findings.add_photo(row, photo)
        yield stack_photos(found, frame)


def read_unchanged(photos: Photos, row: int, digest: np.void) -> bytes:
    """Return the file of a photo; raise SpecError if its sha256 is not `digest`."""
    try:
        content = photos.read(row)
    except Exception:
        content = None
    if content is None or hashlib.sha256(content).digest() != digest.tobytes():
        raise SpecError(
            f"{photos.names[row]} has changed while the photos were read",
            "files that stay as they are",
        )
    return content


def try_to_read(read: Callable[[int], bytes], row: int) -> bytes | str:
    """Return the file of a photo, or the reason why it can never be read.

    Raises OSError where a file has gone, or its disk: that says nothing of the photo.
    """
    try:
        return read(row)
    except Exception as error:  # a broken member of an archive may raise anything
        if isinstance(read, FileReader) and read.has_gone(row, error):
            raise
        return explain_broken_photo(error)


def try_to_decode(
    content: bytes, frame: Frame, choose_box: ChooseBox | None = None
) -> DecodedPhoto | str:
    """Return a decoded photo, or the reason why it cannot be decoded."""
    try:
        return decode_photo(content, frame, choose_box)
    except MemoryError:
        raise
    except Exception as error:  # a broken file may raise anything
        return explain_broken_photo(error)


def stack_photos(photos: Sequence[DecodedPhoto | str], frame: Frame) -> np.ndarray:
    """Return decoded photos as one array (B, H, W, C) uint8, black where one is broken."""
    images = np.zeros((len(photos), *frame.shape), np.uint8)
    for image, photo in zip(images, photos, strict=True):
        if not isinstance(photo, str):
            image[:] = photo.pixels
    return images


def decode_chosen_photos(
    photos: Photos, rows: Sequence[int], frame: Frame, choose_boxes: Sequence[ChooseBox | None]
) -> list[DecodedPhoto | str]:
    """Return the photos `rows`, decoded, or the reason in place of one that is broken.

    Each is cropped as its item of `choose_boxes` says, or as the frame says where that is None.
    """

    def decode_one(row: int, choose_box: ChooseBox | None) -> DecodedPhoto | str:
        content = try_to_read(photos.read, row)
        return content if isinstance(content, str) else try_to_decode(content, frame, choose_box)

    return list(get_thread_pool().map(decode_one, rows, choose_boxes))


def explain_broken_photo(error: Exception) -> str:
    """Return in a few words why a photo could not be decoded."""
    if isinstance(error, UnidentifiedImageError):
        return "no image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or error.__class__.__name__


def iterate_row_ranges(count: int) -> Iterator[range]:
    """Yield ranges of at most PHOTOS_AT_ONCE rows that together cover 0 to `count`."""
    for start in range(0, count, PHOTOS_AT_ONCE):
        yield range(start, min(start + PHOTOS_AT_ONCE, count))
