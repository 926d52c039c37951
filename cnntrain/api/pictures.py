"""The pictures that a program shows a network: paths, Pillow's images, arrays, and lists of them.

A picture of another size becomes one of the network's as a photo does in training. A wrong kind of
number, or of axis, is refused: what it would mean is only a guess.
"""

import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnntrain.data.photos.decode import (
    explain_broken_photo,
    get_thread_pool,
    try_to_decode,
    try_to_read,
)
from cnntrain.data.photos.photo import DecodedPhoto, Frame, Photos, reframe_image
from cnntrain.errors import SpecError
from cnntrain.inference.image_arguments import check_image_arguments, gather_photos

EXPECTED = "a path, an image of Pillow, an array (H, W, C) or (N, H, W, C) of uint8, or a list"
CHANNELS = (1, 3)
# The modes of Pillow that PNG lacks, or has with fewer bits; TIFF has them.
TIFF_MODES = ("CMYK", "YCbCr", "LAB", "I", "F")
# Modes of Pillow that neither has, and the one that shows the same.
MODES_OF_FILES = {"HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}


@dataclass(frozen=True)
class Picture:
    """A picture that is decoded when it is needed: pixels, or the reason why it is broken."""

    name: str
    decode: Callable[[], DecodedPhoto | str]


def gather_pictures(images: Any, frame: Frame) -> list[Picture]:
    """Return the pictures that `images` stand for, to be decoded into a frame.

    A folder stands for all files below it. Raises SpecError for what is no picture.
    """
    pictures = list(list_pictures(images, frame, ""))
    if not pictures:
        raise SpecError("no image is given", EXPECTED)
    return pictures


def list_pictures(images: Any, frame: Frame, place: str) -> Iterator[Picture]:
    """Yield the pictures that `images` stand for; `place` is their index in a list."""
    if isinstance(images, str | PathLike):
        yield from list_photos(str(images), frame)
    elif isinstance(images, Image.Image):
        name = getattr(images, "filename", "") or f"image {place or 0}"
        yield make_pillow_picture(name, images, frame)
    elif isinstance(images, list | tuple) or holds_objects(images):
        for number, image in enumerate(images):
            yield from list_pictures(image, frame, f"{place}.{number}" if place else str(number))
    elif hasattr(images, "__array__"):
        yield from list_array_pictures(np.asarray(images), frame, place)
    else:
        raise SpecError(f"an image is {images!r}, of the type {type(images).__name__}", EXPECTED)


def holds_objects(images: Any) -> bool:
    """Whether an array, or a column of a table, holds paths or images, and no numbers."""
    kind = getattr(getattr(images, "dtype", None), "kind", "")
    return kind in ("O", "U") and getattr(images, "ndim", 0) == 1


def make_pillow_picture(name: str, image: Image.Image, frame: Frame) -> Picture:
    """Return the picture of an image of Pillow, which is read now: it may be in a list twice."""
    try:
        image.load()
    except Exception as error:  # a broken file may raise anything
        return Picture(name, partial(explain_broken_photo, error))
    return Picture(name, partial(decode_pillow_image, image, frame))


def list_photos(path: str, frame: Frame) -> Iterator[Picture]:
    """Yield the photos that a path names."""
    if path == "-":
        raise SpecError("an image is '-'", EXPECTED)
    path = str(Path(path).expanduser())
    check_image_arguments([path])
    photos = gather_photos([path])
    for row, name in enumerate(photos.names):
        yield Picture(name, partial(decode_file, photos, row, frame))


def decode_file(photos: Photos, row: int, frame: Frame) -> DecodedPhoto | str:
    """Return a photo decoded into a frame, or the reason why it is broken."""
    content = try_to_read(photos.read, row)
    return content if isinstance(content, str) else try_to_decode(content, frame)


def decode_pillow_image(image: Image.Image, frame: Frame) -> DecodedPhoto | str:
    """Return an image of Pillow as a file of the same pixels and orientation would be."""
    plain = image.convert(MODES_OF_FILES.get(image.mode, image.mode))
    content = io.BytesIO()
    if plain.mode in TIFF_MODES:
        plain.save(content, "TIFF", exif=image.getexif())
    else:
        plain.save(content, "PNG", compress_level=1, exif=image.getexif())
    return try_to_decode(content.getvalue(), frame)


def list_array_pictures(array: np.ndarray, frame: Frame, place: str) -> Iterator[Picture]:
    """Yield the pictures of an array; SpecError unless it is of uint8, with channels last."""
    check_pixel_type(array)
    arrays = split_array(array, frame)
    for number, pixels in enumerate(arrays):
        own = [place] if place else []
        own += [str(number)] if len(arrays) > 1 or not place else []
        yield Picture(f"image {'.'.join(own)}", partial(decode_pixels, pixels, frame))


def decode_pixels(pixels: np.ndarray, frame: Frame) -> DecodedPhoto:
    """Return pixels (h, w, c) uint8 in a frame."""
    fits = pixels.shape == frame.shape
    placed = pixels if fits else reframe_image(np.ascontiguousarray(pixels), frame)
    return DecodedPhoto(placed, placed, False, None)


def check_pixel_type(array: np.ndarray) -> None:
    """Raise SpecError for an array that is not of uint8; warn of one that has only 0 and 1."""
    if array.dtype != np.uint8:
        is_number = array.size > 0 and array.dtype.kind in "biuf"
        values = f" with values from {array.min():g} to {array.max():g}" if is_number else ""
        raise SpecError(
            f"the images are {array.dtype}{values}",
            "uint8 from 0 (black) to 255 (white), as files have them",
            suggest_conversion(array) if is_number else None,
        )
    if array.size and array.max() == 1:
        warnings.warn(
            "no pixel is above 1, of 255: the images are as good as black, unless those of "
            "training were like that",
            stacklevel=2,
        )


def suggest_conversion(array: np.ndarray) -> str | None:
    """Return what makes pixels of uint8 of an array, where its values say what they mean."""
    if not 0 <= array.min() <= array.max() <= 255:
        return None
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and array.max() <= 1):
        return '(255 * images).round().astype("uint8"), if 1 is white'
    return '(255 / white * images).round().astype("uint8"), where white is the value of white'


def split_array(array: np.ndarray, frame: Frame) -> Sequence[np.ndarray]:
    """Return the images (h, w, c) of an array.

    Its axes are (h, w), (h, w, c), (n, h, w) or (n, h, w, c). Raises SpecError if they are others,
    or if it is not clear which they are.
    """
    shape = array.shape
    if array.ndim == 2 and shape[1] != math.prod(frame.shape):
        return [array[..., np.newaxis]]
    if array.ndim == 3 and shape[-1] in CHANNELS:
        return [array]
    if array.ndim == 3 and frame.channels == 1 and shape[-1] != 4:
        return list(array[..., np.newaxis])
    if array.ndim == 4 and shape[-1] in CHANNELS:
        return list(array)
    hint = None
    if array.ndim == 2:
        rows = f"images.reshape(-1, {', '.join(map(str, frame.shape))}), if each row is an image"
        hint = f"{rows}; images[..., numpy.newaxis], if all are one"
    elif array.ndim in (3, 4) and shape[-3] in CHANNELS:
        hint = "numpy.moveaxis(images, -3, -1), if the channels are first"
    elif array.ndim in (3, 4) and shape[-1] == 4:
        hint = "PIL.Image.fromarray(image), which lays what is transparent on white"
    elif array.ndim == 3:
        hint = "images[..., numpy.newaxis], if they are grey images"
    raise SpecError(
        f"the images have the shape {shape}",
        "(H, W) or (H, W, C) for one, (N, H, W, C) for several, with 1 or 3 channels",
        hint,
    )


def decode_pictures(pictures: Sequence[Picture]) -> list[DecodedPhoto | str]:
    """Return decoded pictures, or the reason in place of one that is broken."""
    return list(get_thread_pool().map(lambda picture: picture.decode(), pictures))
