"""Cache decoded photos in memory, in a file that is mapped into memory, or not at all.

The pixels are the same in every case. A cache file holds a whole data set at one size. Its folder
is named after the contents of all photos and the settings, so that it is never out of date. The
file gets its name only once it is complete, so that half a file is never taken for a cache.
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

from cnntrain.data.photos.cache_folder import FINDINGS, LOCK, PIXELS, open_cached_pixels
from cnntrain.data.photos.decode import (
    PHOTOS_AT_ONCE,
    PhotoScan,
    decode_all_photos,
    scan_photos,
)
from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.lazy_images import LazyImages, RandomCrops
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.source import PHOTO_REMEDIES, Images, allocate_images, check_image_memory
from cnntrain.errors import SpecError
from cnntrain.files.locks import hold_folder
from cnntrain.files.writing import UNFINISHED_PREFIX, clear_unfinished, replace_by_file, write_whole
from cnntrain.terminal.units import format_size

CacheKind = Literal["auto", "memory", "disk", "none"]
SMALL_CACHE = 2**28  # bytes; `auto` keeps a smaller cache in memory only
PIXELS_VERSION = 4  # increase it when the same photos get other pixels
VERSION = f"{PIXELS_VERSION}, Pillow {PIL.__version__}"
PROBE_SIZE = (8, 8)  # the size at which photos are decoded only to collect findings


@dataclass(frozen=True)
class CachedPhotos:
    """The images of a data set, the findings about its photos, and the sha256 of each file."""

    images: Images
    findings: Findings
    digests: np.ndarray


def cache_photos(photos: Photos, frame: Frame, cache: CacheKind, folder: Path) -> CachedPhotos:
    """Return the images of `photos`, cached as `cache` says; disk caches are folders in `folder`.

    Every photo has been decoded once, now or earlier, so that the findings are complete. `auto`
    keeps small data sets in memory, and large ones on disk if there is room, else in memory.
    Raises SpecError if random crops are to be cached, or if memory or disk do not have the room.
    """
    crops = frame.resize == "random_crop"
    if crops and cache in ("memory", "disk"):
        raise SpecError(
            f"dataset.cache is {cache} and dataset.resize is random_crop, which needs other pixels "
            "each time",
            "photos that are decoded each time",
            "dataset.cache=none",
        )
    smaller = "smaller images: dataset.image_size"
    check_image_memory(min(len(photos), PHOTOS_AT_ONCE), frame.size, frame.channels, smaller)
    scan = scan_photos(photos)
    if crops or cache == "none":
        findings = collect_findings(photos, scan, frame, folder)
        settled = replace(frame, value_range=findings.value_range)
        images = (RandomCrops if crops else LazyImages)(photos, settled)
        return CachedPhotos(images, findings, scan.digests)
    home = folder / make_cache_name(scan, frame)
    if cache == "auto":
        needed = count_pixel_bytes(photos, frame)
        is_on_disk = needed > SMALL_CACHE and (
            is_cache_ready(home, needed)
            or (make_writable_folder(folder) and count_free_bytes(folder) > needed)
        )
        cache = "disk" if is_on_disk else "memory"
    decode = decode_to_disk if cache == "disk" else decode_to_memory
    return CachedPhotos(*decode(photos, scan, frame, home), scan.digests)


def decode_to_memory(
    photos: Photos, scan: PhotoScan, frame: Frame, home: Path
) -> tuple[np.ndarray, Findings]:
    """Return all photos as one array (N, H, W, C) uint8 in memory, and their findings."""
    images = allocate_images(len(photos), frame.size, frame.channels, PHOTO_REMEDIES)
    findings, start = Findings(), 0
    for part in decode_all_photos(photos, scan, frame, findings):
        images[start : start + len(part)] = part
        start += len(part)
    return images, findings


def decode_to_disk(
    photos: Photos, scan: PhotoScan, frame: Frame, home: Path
) -> tuple[np.ndarray, Findings]:
    """Return all photos (N, H, W, C) uint8 mapped from the cache folder `home`, and their findings.

    The cache is written first if it does not exist; meanwhile other processes wait for it.
    """
    needed = count_pixel_bytes(photos, frame)
    if not is_cache_ready(home, needed):
        with hold_folder(home, "decoded photos"):
            if not is_cache_ready(home, needed):
                remove_unfinished(home.parent)
                clear_unfinished(home)  # nobody else writes there: the lock is ours
                write_cache(photos, scan, frame, home)
    return open_cached_pixels(home), read_findings(home)


def write_cache(photos: Photos, scan: PhotoScan, frame: Frame, home: Path) -> None:
    """Decode all photos into a cache in `home`, the findings and last the pixels.

    Raises SpecError if the disk fails.
    """
    findings = Findings()
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(photos), *frame.shape)}
    try:
        check_disk_space(photos, frame, home)
        with replace_by_file(home / PIXELS) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for images in decode_all_photos(photos, scan, frame, findings):
                file.write(images.data)
            write_findings(home, findings)
    except OSError as error:
        raise make_disk_error(photos, frame, home, error.strerror) from error


def collect_findings(photos: Photos, scan: PhotoScan, frame: Frame, folder: Path) -> Findings:
    """Return the findings about photos, from an earlier decoding or from one now.

    They are kept in a cache without pixels in `folder`, if that can be written.
    """
    probe = replace(frame, size=PROBE_SIZE, resize="stretch")
    home = folder / make_cache_name(scan, probe)
    if (home / FINDINGS).exists():
        return read_findings(home)
    findings = Findings()
    for _ in decode_all_photos(photos, scan, probe, findings):
        pass
    if make_writable_folder(folder):
        with contextlib.suppress(OSError):  # without the file the next run collects them again
            home.mkdir(exist_ok=True)
            write_findings(home, findings)
    return findings


def make_cache_name(scan: PhotoScan, *settings: object) -> str:
    """Return a name of 24 hexadecimal digits for exactly these photos and settings."""
    text = f"{VERSION} {settings}".encode()
    return hashlib.sha256(text + scan.digests.tobytes()).hexdigest()[:24]


def is_cache_ready(home: Path, size: int) -> bool:
    """Return whether `home` holds a whole cache: its findings, and over `size` bytes of pixels."""
    pixels = home / PIXELS
    return pixels.exists() and pixels.stat().st_size > size and (home / FINDINGS).exists()


def write_findings(home: Path, findings: Findings) -> None:
    write_whole(home / FINDINGS, json.dumps(findings.as_json()))


def read_findings(home: Path) -> Findings:
    return Findings.from_json(json.loads((home / FINDINGS).read_text(encoding="utf-8")))


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files that killed processes have left in all cache folders."""
    for part in (
        *folder.glob(f"*/{UNFINISHED_PREFIX}*"),
        *folder.glob("*/*.part"),  # older versions left these
    ):
        with contextlib.suppress(OSError, Timeout), FileLock(part.parent / LOCK, timeout=0):
            part.unlink()


def count_pixel_bytes(photos: Photos, frame: Frame) -> int:
    """Return the bytes that all photos take once decoded."""
    return len(photos) * int(np.prod(frame.shape))


def count_free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on."""
    return shutil.disk_usage(folder).free


def check_disk_space(photos: Photos, frame: Frame, home: Path) -> None:
    """Raise SpecError if the disk of `home` has no room for the decoded photos."""
    if count_free_bytes(home) < count_pixel_bytes(photos, frame):
        raise make_disk_error(photos, frame, home, "no space left on device")


def make_disk_error(photos: Photos, frame: Frame, home: Path, why: str | None) -> SpecError:
    return SpecError(
        f"the decoded photos cannot be written to {home.parent}: {why}",
        f"{format_size(count_pixel_bytes(photos, frame))} of free space",
        "dataset.cache=none, smaller images, or data_dir=/another/folder",
    )


def make_writable_folder(folder: Path) -> bool:
    """Create a folder if need be, and return whether it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
