"""Decoded photos in `data_dir`: how many there are, in use by whom, and how they go again.

Each set of them is a folder of its own below `data_dir/cnntrain_cache` (see `datasets/store.py`).
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from cnntrain.errors import SpecError
from cnntrain.files.writing import UNFINISHED_PREFIX
from cnntrain.terminal.units import format_size

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is in use
    fcntl = None  # type: ignore[assignment]

CACHE_FOLDER = "cnntrain_cache"  # the folder in data_dir that decoded photos are kept in
PIXELS, FINDINGS, LOCK = "pixels.npy", "findings.json", ".lock"
# What may lie in the folder of a set; the last two older versions have left.
CACHE_FILES = (PIXELS, FINDINGS, LOCK, f"{UNFINISHED_PREFIX}*", "broken.json", "*.part")
CACHE_NAME = re.compile("[0-9a-f]{24}")
SIZE_PATTERN = re.compile(
    r"(?P<number>\d+(\.\d+)?) *(?P<unit>[KMGT]?)(?P<binary>i?)B?", re.IGNORECASE
)


@dataclass(frozen=True)
class Cache:
    """One set of decoded photos: its folder, its bytes, and when it was used last (seconds)."""

    folder: Path
    size: int
    last_used: float


def open_pixels(folder: Path) -> np.memmap:
    """Map a set of decoded photos (N, H, W, C) uint8 into memory, and hold it while it is used.

    The lock on the file lasts as long as the mapping. That it is used is seen by its time.
    """
    with (folder / PIXELS).open("rb") as file:
        with contextlib.suppress(OSError):  # a file system without locks, one that is read-only
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            (folder / PIXELS).touch()
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, dtype, "r", file.tell(), shape)


def list_caches(data_dir: Path) -> list[Cache]:
    """The sets of decoded photos in a data_dir, the one used last first; nothing else there is."""
    try:
        folders = [path for path in (data_dir / CACHE_FOLDER).iterdir() if is_cache(path)]
    except OSError:
        return []
    found = []
    for folder in folders:
        with contextlib.suppress(OSError):  # another process removes it
            files = [path.stat() for path in folder.iterdir()]
            times = [one.st_mtime for one in files] or [folder.stat().st_mtime]
            found.append(Cache(folder, sum(one.st_size for one in files), max(times)))
    return sorted(found, key=lambda cache: cache.last_used, reverse=True)


def is_cache(path: Path) -> bool:
    """Whether a path is a folder of ours, with nothing in it but what we put there."""
    if not CACHE_NAME.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    try:
        files = [*path.iterdir()]
    except OSError:
        return False
    return all(any(map(file.match, CACHE_FILES)) and file.is_file() for file in files)


def remove_old_caches(data_dir: Path, keep: int) -> tuple[list[Cache], list[Cache], list[Cache]]:
    """Remove sets of decoded photos, those used longest ago first, until `keep` bytes are left.

    Returns those removed, those kept, and those among these that are in use, which stay.
    """
    caches, removed, busy = list_caches(data_dir), list[Cache](), list[Cache]()
    for cache in reversed(caches):
        total = sum(one.size for one in caches if one not in removed)
        if keep and total <= keep:
            break
        (removed if remove_cache(cache) else busy).append(cache)
    return removed, [cache for cache in caches if cache not in removed], busy


def remove_cache(cache: Cache) -> bool:
    """Remove a set of decoded photos unless a process uses it or makes it; whether it is gone."""
    try:
        with FileLock(cache.folder / LOCK, timeout=0), lock_unused_file(cache.folder / PIXELS):
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
    """Hold a file that nobody has mapped; BlockingIOError where somebody has."""
    if fcntl is None or not pixels.exists():
        yield
        return
    with pixels.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def parse_byte_size(text: str) -> int:
    """The bytes that `5GiB`, `500 MB` or `1.5G` say; SpecError for what is no size."""
    if (found := SIZE_PATTERN.fullmatch(text.strip())) is None:
        raise SpecError(f"--keep is {text or 'empty'}", "a size", "--keep 5GiB")
    power = " KMGT".index(found["unit"].upper() or " ")
    base = 1000 if not found["binary"] and text.strip().lower().endswith("b") else 1024
    return int(float(found["number"]) * base**power)


def format_caches(caches: Sequence[Cache]) -> str:
    """How many sets, and their size."""
    count, size = len(caches), sum(cache.size for cache in caches)
    return f"{count:,} set{'s' * (count != 1)} of decoded photos, {format_size(size)}"


def count_caches(caches: Sequence[Cache]) -> dict[str, int]:
    """How many sets, and their bytes, for scripts."""
    return {"sets": len(caches), "bytes": sum(cache.size for cache in caches)}
