"""Where decoded photos are kept: in memory, in a file that is mapped into memory, or nowhere.

The pixels are the same wherever they come from. A file holds the whole data set at one size. The
folder it is in is named after the contents of all photos and the settings, so that it is never out
of date; the file has its name only once it is whole, so that no half of it is ever taken for it.
"""

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
import tensorflow as tf
from filelock import FileLock, Timeout

from cnntrain.datasets.decoding import AT_ONCE, Crops, Decoded, Known, decoded, looked_at
from cnntrain.datasets.photos import Frame, Photos
from cnntrain.datasets.source import OF_PHOTOS, Images, check_room, room_for
from cnntrain.datasets.waiting import alone
from cnntrain.errors import SpecError
from cnntrain.files import UNFINISHED, clear_unfinished, replace, replace_by_file

Cache = Literal["auto", "memory", "disk", "none"]
SMALL = 2**28  # bytes that `auto` decodes anew each time rather than put on disk
VERSION = f"2, TensorFlow {tf.__version__}, Pillow {PIL.__version__}"  # raise it when pixels change
PROBE = Frame((8, 8), 3, "stretch")  # what photos are decoded to where only broken ones matter


@dataclass(frozen=True)
class Kept:
    """The images of a data set, the photos that are broken (row -> why), and all digests."""

    images: Images
    broken: dict[int, str]
    digests: np.ndarray


def keep(photos: Photos, frame: Frame, cache: Cache, folder: Path) -> Kept:
    """Return the images of `photos`; those kept on disk are in `folder`.

    Every photo has been decoded once, now or before: the broken ones are known. `auto` keeps small
    sets in memory, large ones on disk, or in memory where the disk will not have them.
    """
    crops = frame.resize == "random_crop"
    if crops and cache in ("memory", "disk"):
        raise SpecError(
            f"dataset.cache is {cache} and dataset.resize is random_crop, other pixels each time",
            "photos that are decoded each time",
            "dataset.cache=none",
        )
    smaller = "smaller images: dataset.image_size"
    check_room(min(len(photos), AT_ONCE), frame.size, frame.channels, smaller)
    known = looked_at(photos)
    if crops or cache == "none":
        images = (Crops if crops else Decoded)(photos, known.jpegs, frame)
        return Kept(images, checked(photos, known, folder), known.digests)
    home = folder / named(known, frame)
    if cache == "auto":
        needed = size(photos, frame)
        fits = ready(home, needed) or (writable(folder) and room(folder) > needed)
        cache = "disk" if needed > SMALL and fits else "memory"
    keeping = on_disk if cache == "disk" else in_memory
    return Kept(*keeping(photos, known, frame, home), known.digests)


def in_memory(
    photos: Photos, known: Known, frame: Frame, home: Path
) -> tuple[np.ndarray, dict[int, str]]:
    images = room_for(len(photos), frame.size, frame.channels, OF_PHOTOS)
    broken, start = dict[int, str](), 0
    for part, reasons in decoded(photos, known, frame):
        images[start : start + len(part)] = part
        broken |= reasons
        start += len(part)
    return images, broken


def on_disk(
    photos: Photos, known: Known, frame: Frame, home: Path
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the file of these photos, mapped into memory, made first if need be."""
    needed = size(photos, frame)
    if not ready(home, needed):
        with alone(home, "decoded photos"):
            if not ready(home, needed):
                clear(home.parent)
                clear_unfinished(home)  # whose lock is ours
                write(photos, known, frame, home)
    return np.load(home / "pixels.npy", mmap_mode="r"), known.broken | noted(home)


def write(photos: Photos, known: Known, frame: Frame, home: Path) -> None:
    """Decode all photos into `home`, to the disk, or leave nothing."""
    broken = dict[int, str]()
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(photos), *frame.shape)}
    try:
        check_disk(photos, frame, home)
        with replace_by_file(home / "pixels.npy") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for images, reasons in decoded(photos, known, frame):
                file.write(images.data)
                broken |= reasons
            note(home, broken)
    except OSError as error:
        raise no_room(photos, frame, home, error.strerror) from error


def checked(photos: Photos, known: Known, folder: Path) -> dict[int, str]:
    """Which photos are broken, from the last time that these were decoded, or now."""
    home = folder / named(known)
    if not (home / "broken.json").exists():
        broken = dict[int, str]()
        for _, reasons in decoded(photos, known, PROBE):
            broken |= reasons
        if not writable(folder):
            return broken
        with contextlib.suppress(OSError):  # it is only found out anew
            home.mkdir(exist_ok=True)
            note(home, broken)
        return broken
    return known.broken | noted(home)


def named(known: Known, *settings: object) -> str:
    """A name for exactly these photos with these settings."""
    text = f"{VERSION} {settings}".encode()
    return hashlib.sha256(text + known.digests.tobytes()).hexdigest()[:24]


def ready(home: Path, size: int) -> bool:
    pixels = home / "pixels.npy"
    return pixels.exists() and pixels.stat().st_size > size and (home / "broken.json").exists()


def note(home: Path, broken: dict[int, str]) -> None:
    replace(home / "broken.json", json.dumps({str(row): why for row, why in broken.items()}))


def noted(home: Path) -> dict[int, str]:
    text = (home / "broken.json").read_text(encoding="utf-8")
    return {int(row): why for row, why in json.loads(text).items()}


def clear(folder: Path) -> None:
    """Remove what processes that were killed have left unfinished."""
    for part in (*folder.glob(f"*/{UNFINISHED}*"), *folder.glob("*/*.part")):  # of older versions
        with contextlib.suppress(OSError, Timeout), FileLock(part.parent / ".lock", timeout=0):
            part.unlink()


def size(photos: Photos, frame: Frame) -> int:
    """The bytes of all photos, decoded."""
    return len(photos) * int(np.prod(frame.shape))


def room(folder: Path) -> int:
    """The bytes that are free where a folder is."""
    return shutil.disk_usage(folder).free


def check_disk(photos: Photos, frame: Frame, home: Path) -> None:
    if room(home) < size(photos, frame):
        raise no_room(photos, frame, home, "no space left on device")


def no_room(photos: Photos, frame: Frame, home: Path, why: str | None) -> SpecError:
    return SpecError(
        f"the decoded photos do not go into {home.parent}: {why}",
        f"{size(photos, frame) / 2**30:,.1f} GiB of room",
        "dataset.cache=none, smaller images, or data_dir=/another/folder",
    )


def writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
