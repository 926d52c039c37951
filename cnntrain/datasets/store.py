"""Where decoded photos are kept: in memory, in a file that is mapped into memory, or nowhere.

The pixels are the same wherever they come from. A file holds the whole data set at one size; its
name is made from the contents of all photos and the settings, so that it is never out of date.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
from filelock import FileLock
from PIL import UnidentifiedImageError

from cnntrain.datasets.photos import Frame, Photos, decode, random_window
from cnntrain.datasets.source import CHUNK, Images, check_room, room_for
from cnntrain.datasets.waiting import counted
from cnntrain.errors import SpecError

Cache = Literal["auto", "memory", "disk", "none"]
SMALL = 2**28  # bytes that `auto` decodes anew each time rather than put on disk
VERSION = f"1, Pillow {PIL.__version__}"  # of the decoding: raise it when pixels change

POOL = ThreadPoolExecutor(os.cpu_count())  # Pillow decodes without the interpreter's lock


@dataclass(frozen=True)
class Decoded:
    """Photos as images (N, H, W, C) uint8, decoded when asked for."""

    photos: Photos
    frame: Frame

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.photos), *self.frame.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        def one(row: int) -> np.ndarray:
            return decode(self.photos.read(row), self.frame)

        return stacked(POOL.map(one, rows.tolist()), len(rows), self.frame)


class Crops(Decoded):
    """The same, with windows drawn at random where training asks for them."""

    def crops(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        windows = [random_window(random) for _ in rows]

        def one(row: int, number: int) -> np.ndarray:
            return decode(self.photos.read(row), self.frame, windows[number])

        found = POOL.map(one, rows.tolist(), range(len(rows)))
        return stacked(found, len(rows), self.frame)


def stacked(images: Iterator[np.ndarray], count: int, frame: Frame) -> np.ndarray:
    result = np.empty((count, *frame.shape), np.uint8)
    for index, image in enumerate(images):
        result[index] = image
    return result


@dataclass(frozen=True)
class Kept:
    """The images of a data set, the photos that are broken (row -> why), and all digests."""

    images: Images
    broken: dict[int, str]
    digests: np.ndarray


def keep(photos: Photos, frame: Frame, cache: Cache, folder: Path) -> Kept:
    """Return the images of `photos`; those kept on disk are in `folder`.

    Every photo has been decoded once, now or before: the broken ones are known.
    """
    check_room(min(len(photos), CHUNK), frame.size, frame.channels)
    digests = digested(photos)
    if frame.resize == "random_crop":
        return Kept(Crops(photos, frame), checked(photos, digests, folder), digests)
    if cache == "auto":
        large = len(photos) * np.prod(frame.shape) > SMALL
        cache = "disk" if large and writable(folder) else "memory"
    if cache == "none":
        return Kept(Decoded(photos, frame), checked(photos, digests, folder), digests)
    if cache == "disk":
        images, broken = on_disk(photos, frame, digests, folder)
        return Kept(images, broken, digests)
    images = room_for(len(photos), frame.size, frame.channels)
    broken, start = dict[int, str](), 0
    for chunk, reasons in decoded(photos, frame):
        images[start : start + len(chunk)] = chunk
        broken |= reasons
        start += len(chunk)
    return Kept(images, broken, digests)


def digested(photos: Photos) -> np.ndarray:
    """The sha256 of each photo's bytes (N,); that of nothing where it cannot be read."""

    def one(row: int) -> bytes:
        try:
            return hashlib.sha256(photos.read(row)).digest()
        except Exception:  # what cannot be read will be named when it is decoded
            return hashlib.sha256().digest()

    return np.array(list(POOL.map(one, range(len(photos)), chunksize=16)), "V32")


def decoded(photos: Photos, frame: Frame) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
    """All photos in order, some at a time, black where one is broken, and why it is."""

    def one(row: int) -> np.ndarray | str:
        try:
            return decode(photos.read(row), frame)
        except MemoryError:
            raise
        except Exception as error:  # a broken file may raise anything
            return reason(error)

    for rows in counted(chunked(len(photos)), len(photos), "decoding photos"):
        images = np.zeros((len(rows), *frame.shape), np.uint8)
        broken = {}
        for index, found in enumerate(POOL.map(one, rows)):
            if isinstance(found, str):
                broken[rows[index]] = found
            else:
                images[index] = found
        yield images, broken


def reason(error: Exception) -> str:
    """Why a file could not be decoded, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "no image of a known format"
    return str(error).partition("\n")[0] or error.__class__.__name__


def chunked(count: int) -> Iterator[range]:
    for start in range(0, count, CHUNK):
        yield range(start, min(start + CHUNK, count))


def named(digests: np.ndarray, *settings: object) -> str:
    """A name for exactly these photos with these settings."""
    text = json.dumps([VERSION, *settings], default=str)
    return hashlib.sha256(text.encode() + digests.tobytes()).hexdigest()[:24]


def checked(photos: Photos, digests: np.ndarray, folder: Path) -> dict[int, str]:
    """Which photos are broken, from the last time that these were decoded, or now."""
    path = folder / f"{named(digests)}.json"
    if (known := noted(path)) is not None:
        return known
    broken: dict[int, str] = {}
    for _, reasons in decoded(photos, Frame((8, 8), 3, "stretch")):
        broken |= reasons
    if writable(folder):
        note(path, broken)
    return broken


def on_disk(
    photos: Photos, frame: Frame, digests: np.ndarray, folder: Path
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the file of these photos, mapped into memory, made first if need be."""
    if not writable(folder):
        raise SpecError(
            f"dataset.cache is disk and {folder} cannot be written to",
            "a folder for the decoded images",
            "data_dir=/another/folder or dataset.cache=memory",
        )
    name = named(digests, frame.size, frame.channels, frame.resize)
    pixels, notes = folder / f"{name}.npy", folder / f"{name}.json"
    with FileLock(folder / f"{name}.lock"):
        if not pixels.exists():
            try:
                broken = write(pixels, photos, frame)
            except OSError as error:
                raise SpecError(
                    f"the decoded images do not go into {folder}: {error.strerror}",
                    f"{len(photos) * np.prod(frame.shape) / 2**30:,.1f} GiB of room",
                    "dataset.cache=none, or smaller images",
                ) from error
            note(notes, broken)
            pixels.with_suffix(".part").rename(pixels)
        return np.load(pixels, mmap_mode="r"), noted(notes) or {}


def write(pixels: Path, photos: Photos, frame: Frame) -> dict[int, str]:
    """Decode all photos into `pixels` with the suffix `.part`, to the disk."""
    part = pixels.with_suffix(".part")
    broken: dict[int, str] = {}
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(photos), *frame.shape)}
    try:
        with part.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for chunk, reasons in decoded(photos, frame):
                file.write(chunk.data)
                broken |= reasons
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return broken


def note(path: Path, broken: dict[int, str]) -> None:
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({str(row): why for row, why in broken.items()}), encoding="utf-8")
    part.rename(path)


def noted(path: Path) -> dict[int, str] | None:
    if not path.exists():
        return None
    return {int(row): why for row, why in json.loads(path.read_text(encoding="utf-8")).items()}


def writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
