"""Locks that keep two processes off one directory, if its file system has locks.

A network file system may have none (NFS without its lock daemon, Lustre without `-o flock`). Then
the process goes on without a lock, and prints a warning.
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
    """Acquire a lock within `timeout` seconds (-1: wait for ever).

    Raises filelock's Timeout after that, and SpecError if the lock's folder is a file.
    """
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
    """Hold the lock of a folder, created if missing, while the block prepares `what`.

    Waits for another process that holds it. Raises SpecError if the folder cannot be written.
    """
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
