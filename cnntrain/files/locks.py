"""Locks that keep two processes off one directory, where the file system has any.

On a network's (NFS without its lock daemon, Lustre without `-o flock`) there may be none. Then the
process goes on without, and says so.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from cnntrain.errors import SpecError
from cnntrain.files.writing import break_hard_links

NO_LOCK_ERRORS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_warned: set[Path] = set()


def acquire_lock(lock: FileLock, timeout: float) -> None:
    """Take a lock, waiting so many seconds (-1: for ever); raise filelock's Timeout beyond."""
    file = Path(lock.lock_file)
    if os.path.lexists(file.parent) and not file.parent.is_dir():
        raise SpecError(f"{file.parent} is no folder", "a folder, in which a lock can be")
    break_hard_links(file)  # filelock empties it
    try:
        lock.acquire(timeout=timeout)
    except OSError as error:
        if error.errno not in NO_LOCK_ERRORS:
            raise
        warn_of_no_locks(file.parent)


def warn_of_no_locks(folder: Path) -> None:
    if folder not in _warned:
        _warned.add(folder)
        print(
            f"Warning: {folder} is on a file system without locks: nothing keeps a second process "
            "off it",
            file=sys.stderr,
        )


@contextlib.contextmanager
def hold_folder(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder, made if need be, while `what` is prepared; wait for others."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            acquire_lock(lock, 0)
        except Timeout:
            print(f"Another process prepares {what}: waiting for it.", file=sys.stderr, flush=True)
            acquire_lock(lock, -1)
    except OSError as error:
        raise SpecError(
            f"{what} cannot be prepared in {folder}: {error.strerror}",
            "a folder that you may write to",
            "data_dir=/another/folder",
        ) from error
    try:
        yield
    finally:
        lock.release()
