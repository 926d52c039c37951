"""List and remove the caches of decoded photos in `data_dir`, sparing those in use.

Each cache is a folder of its own below `data_dir/cnntrain_cache` (see `photo_cache.py`).
"""

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from cnntrain.errors import SpecError
from cnntrain.files.writing import UNFINISHED_PREFIX
from cnntrain.terminal.units import format_size

CACHE_FOLDER = "cnntrain_cache"  # the folder in data_dir that decoded photos are kept in
PIXELS, FINDINGS, LOCK = "pixels.npy", "findings.json", ".lock"
INDEX = "index.sqlite"  # of the photos below a folder (see `photo_index.py`)
# The files that a cache folder may hold; older versions left files of the last two patterns.
CACHE_FILES = (
    PIXELS,
    FINDINGS,
    LOCK,
    f"{INDEX}*",
    f"{UNFINISHED_PREFIX}*",
    "broken.json",
    "*.part",
)
CACHE_NAME = re.compile("[0-9a-f]{24}")
SIZE_PATTERN = re.compile(
    r"(?P<number>\d+(\.\d+)?) *(?P<unit>[KMGT]?)(?P<binary>i?)B?", re.IGNORECASE
)


@dataclass(frozen=True)
class Cache:
    """One cache of decoded photos: its folder, its size in bytes, and when it was last used."""

    folder: Path
    size: int
    last_used: float  # seconds since the epoch


def open_cached_pixels(folder: Path) -> np.memmap:
    """Map a cache's pixels (N, H, W, C) uint8 into memory and lock the file while they are mapped.

    The modification time of the file is set to now, which marks the cache as just used.
    """
    with (folder / PIXELS).open("rb") as file:
        with contextlib.suppress(OSError):  # the file system may have no locks, or be read-only
            lock_file(file, exclusive=False)
            (folder / PIXELS).touch()
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, dtype, "r", file.tell(), shape)


def lock_file(file: BinaryIO, exclusive: bool) -> None:
    """Lock an open file until it is closed; raise BlockingIOError if another lock is in the way.

    Windows needs no lock: it removes no file that is in use.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def list_caches(data_dir: Path) -> list[Cache]:
    """Return the caches of decoded photos in `data_dir`, the most recently used first."""
    try:
        folders = [path for path in (data_dir / CACHE_FOLDER).iterdir() if is_cache(path)]
    except OSError:
        return []
    caches = []
    for folder in folders:
        with contextlib.suppress(OSError):  # another process may remove it meanwhile
            files = [path.stat() for path in folder.iterdir()]
            times = [status.st_mtime for status in files] or [folder.stat().st_mtime]
            caches.append(Cache(folder, sum(status.st_size for status in files), max(times)))
    return sorted(caches, key=lambda cache: cache.last_used, reverse=True)


def is_cache(path: Path) -> bool:
    """Return whether a path is a cache folder of ours with no file in it but ours."""
    if not CACHE_NAME.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    try:
        files = [*path.iterdir()]
    except OSError:
        return False
    return all(any(map(file.match, CACHE_FILES)) and file.is_file() for file in files)


def shrink_caches(data_dir: Path, keep: int) -> tuple[list[Cache], list[Cache], list[Cache]]:
    """Remove caches, the least recently used first, until at most `keep` bytes are left.

    If `keep` is 0, all are removed. Returns the removed caches, the kept ones, and those of the
    kept ones that could not be removed: they are in use, or not ours to remove.
    """
    caches, removed, not_removed = list_caches(data_dir), list[Cache](), list[Cache]()
    for cache in reversed(caches):
        total = sum(other.size for other in caches if other not in removed)
        if keep and total <= keep:
            break
        (removed if remove_cache(cache) else not_removed).append(cache)
    return removed, [cache for cache in caches if cache not in removed], not_removed


def remove_cache(cache: Cache) -> bool:
    """Remove a cache unless it is in use or may not be removed; return whether it is gone."""
    try:
        with FileLock(cache.folder / LOCK, timeout=0), lock_unused_file(cache.folder / PIXELS):
            (cache.folder / PIXELS).unlink(missing_ok=True)  # first: on Windows it may be in use
            for file in cache.folder.iterdir():
                if file.name != LOCK:
                    file.unlink()
        (cache.folder / LOCK).unlink(missing_ok=True)
        cache.folder.rmdir()
    except (OSError, Timeout):
        return False
    return True


@contextlib.contextmanager
def lock_unused_file(pixels: Path) -> Iterator[None]:
    """Lock a file that no process has mapped; raise BlockingIOError if one has."""
    if sys.platform == "win32" or not pixels.exists():
        yield
        return
    with pixels.open("rb") as file:
        lock_file(file, exclusive=True)
        yield


def parse_byte_size(text: str) -> int:
    """Return the bytes of `5GiB`, `500 MB` or `1.5G`; raise SpecError for other text."""
    if (match := SIZE_PATTERN.fullmatch(text.strip())) is None:
        raise SpecError(f"--keep is {text or 'empty'}", "a size", "--keep 5GiB")
    power = " KMGT".index(match["unit"].upper() or " ")
    base = 1000 if not match["binary"] and text.strip().lower().endswith("b") else 1024
    return int(float(match["number"]) * base**power)


def format_caches(caches: Sequence[Cache]) -> str:
    """Return the number of caches and their total size as text for people."""
    count, size = len(caches), sum(cache.size for cache in caches)
    return f"{count:,} set{'s' * (count != 1)} of decoded photos, {format_size(size)}"


def count_caches(caches: Sequence[Cache]) -> dict[str, int]:
    """Return the number of caches and their total bytes as JSON for scripts."""
    return {"sets": len(caches), "bytes": sum(cache.size for cache in caches)}
