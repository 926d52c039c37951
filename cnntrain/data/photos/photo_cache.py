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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
from filelock import FileLock, Timeout

from cnntrain.data.photos.cache_folder import FINDINGS, open_pixels
from cnntrain.data.photos.decode import (
    PHOTOS_AT_ONCE,
    LazyImages,
    PhotoScan,
    RandomCrops,
    decode_all_photos,
    scan_photos,
)
from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.source import PHOTO_REMEDIES, Images, allocate_images, check_image_memory
from cnntrain.errors import SpecError
from cnntrain.files.locks import hold_folder
from cnntrain.files.writing import UNFINISHED_PREFIX, clear_unfinished, replace_by_file, write_whole
from cnntrain.terminal.units import format_size

CacheKind = Literal["auto", "memory", "disk", "none"]
SMALL_CACHE = 2**28  # bytes that `auto` decodes anew each time rather than put on disk
PIXELS_VERSION = 4  # raise it when the same photos get other pixels
VERSION = f"{PIXELS_VERSION}, Pillow {PIL.__version__}"
PROBE_SIZE = (8, 8)  # what photos are decoded to where only what is to be known of them matters


@dataclass(frozen=True)
class CachedPhotos:
    """The images of a data set, what is to be known of its photos, and the digests of all."""

    images: Images
    findings: Findings
    digests: np.ndarray


def cache_photos(photos: Photos, frame: Frame, cache: CacheKind, folder: Path) -> CachedPhotos:
    """Return the images of `photos`; those kept on disk are in `folder`.

    Every photo has been decoded once, now or before: the findings are complete. `auto` keeps small
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
    check_image_memory(min(len(photos), PHOTOS_AT_ONCE), frame.size, frame.channels, smaller)
    known = scan_photos(photos)
    if crops or cache == "none":
        findings = collect_findings(photos, known, frame, folder)
        settled = replace(frame, value_range=findings.value_range)
        images = (RandomCrops if crops else LazyImages)(photos, settled)
        return CachedPhotos(images, findings, known.digests)
    home = folder / make_cache_name(known, frame)
    if cache == "auto":
        needed = count_pixel_bytes(photos, frame)
        fits = is_cache_ready(home, needed) or (
            is_writable(folder) and count_free_bytes(folder) > needed
        )
        cache = "disk" if needed > SMALL_CACHE and fits else "memory"
    keeping = decode_to_disk if cache == "disk" else decode_to_memory
    return CachedPhotos(*keeping(photos, known, frame, home), known.digests)


def decode_to_memory(
    photos: Photos, known: PhotoScan, frame: Frame, home: Path
) -> tuple[np.ndarray, Findings]:
    images = allocate_images(len(photos), frame.size, frame.channels, PHOTO_REMEDIES)
    findings, start = Findings(), 0
    for part in decode_all_photos(photos, known, frame, findings):
        images[start : start + len(part)] = part
        start += len(part)
    return images, findings


def decode_to_disk(
    photos: Photos, known: PhotoScan, frame: Frame, home: Path
) -> tuple[np.ndarray, Findings]:
    """Return the file of these photos, mapped into memory, made first if need be."""
    needed = count_pixel_bytes(photos, frame)
    if not is_cache_ready(home, needed):
        with hold_folder(home, "decoded photos"):
            if not is_cache_ready(home, needed):
                remove_unfinished(home.parent)
                clear_unfinished(home)  # whose lock is ours
                write_pixels(photos, known, frame, home)
    return open_pixels(home), read_findings(home)


def write_pixels(photos: Photos, known: PhotoScan, frame: Frame, home: Path) -> None:
    """Decode all photos into `home`, to the disk, or leave nothing."""
    findings = Findings()
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(photos), *frame.shape)}
    try:
        check_disk_space(photos, frame, home)
        with replace_by_file(home / "pixels.npy") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for images in decode_all_photos(photos, known, frame, findings):
                file.write(images.data)
            write_findings(home, findings)
    except OSError as error:
        raise make_disk_error(photos, frame, home, error.strerror) from error


def collect_findings(photos: Photos, known: PhotoScan, frame: Frame, folder: Path) -> Findings:
    """Return what is to be known of photos, from the last time that they were decoded, or now."""
    probe = replace(frame, size=PROBE_SIZE, resize="stretch")
    home = folder / make_cache_name(known, probe)
    if (home / FINDINGS).exists():
        return read_findings(home)
    findings = Findings()
    for _ in decode_all_photos(photos, known, probe, findings):
        pass
    if is_writable(folder):
        with contextlib.suppress(OSError):  # it is only found out anew
            home.mkdir(exist_ok=True)
            write_findings(home, findings)
    return findings


def make_cache_name(known: PhotoScan, *settings: object) -> str:
    """A name for exactly these photos with these settings."""
    text = f"{VERSION} {settings}".encode()
    return hashlib.sha256(text + known.digests.tobytes()).hexdigest()[:24]


def is_cache_ready(home: Path, size: int) -> bool:
    pixels = home / "pixels.npy"
    return pixels.exists() and pixels.stat().st_size > size and (home / FINDINGS).exists()


def write_findings(home: Path, findings: Findings) -> None:
    write_whole(home / FINDINGS, json.dumps(findings.as_json()))


def read_findings(home: Path) -> Findings:
    return Findings.from_json(json.loads((home / FINDINGS).read_text(encoding="utf-8")))


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed have left unfinished."""
    for part in (
        *folder.glob(f"*/{UNFINISHED_PREFIX}*"),
        *folder.glob("*/*.part"),
    ):  # of older versions
        with contextlib.suppress(OSError, Timeout), FileLock(part.parent / ".lock", timeout=0):
            part.unlink()


def count_pixel_bytes(photos: Photos, frame: Frame) -> int:
    """The bytes of all photos, decoded."""
    return len(photos) * int(np.prod(frame.shape))


def count_free_bytes(folder: Path) -> int:
    """The bytes that are free where a folder is."""
    return shutil.disk_usage(folder).free


def check_disk_space(photos: Photos, frame: Frame, home: Path) -> None:
    if count_free_bytes(home) < count_pixel_bytes(photos, frame):
        raise make_disk_error(photos, frame, home, "no space left on device")


def make_disk_error(photos: Photos, frame: Frame, home: Path, why: str | None) -> SpecError:
    return SpecError(
        f"the decoded photos do not go into {home.parent}: {why}",
        f"{format_size(count_pixel_bytes(photos, frame))} of room",
        "dataset.cache=none, smaller images, or data_dir=/another/folder",
    )


def is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
