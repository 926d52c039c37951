"""Read the file of a photo by its row, in this process or in one that decodes for it."""

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from cnntrain.terminal.units import format_size

LASTING = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR)
LARGEST_PHOTO = 2**28  # bytes; a larger file is a film or an archive, and is not read


class FileFacts(NamedTuple):
    """The size of a file in bytes, when it was changed in nanoseconds, its sha256."""

    size: int
    time: int
    digest: bytes


@dataclass(frozen=True)
class FileReader:
    """Files at `paths` relative to the folder `root`; it can be sent to another process."""

    root: str
    paths: Sequence[str]

    def __call__(self, row: int) -> bytes:
        return read_photo_file(self.locate(row))

    def pick(self, rows: Sequence[int]) -> "FileReader":
        """Return a reader of these rows only, which are counted from 0."""
        return FileReader(self.root, [self.paths[row] for row in rows])

    def locate(self, row: int) -> str:
        return os.path.join(self.root, self.paths[row])  # noqa: PTH118 - Path is slower

    def look(self, row: int) -> tuple[int, int] | None:
        """Return the size of a file in bytes and its time of change in nanoseconds, or None."""
        try:
            status = os.stat(self.locate(row))  # noqa: PTH116 - Path is slower
        except OSError:  # reading it says why
            return None
        return status.st_size, status.st_mtime_ns

    def has_gone(self, row: int, error: Exception) -> bool:
        """Return whether a file could not be read because it, or its disk, is not there any more.

        That is no property of the file: the next attempt may succeed. One that may not be read, a
        link that leads nowhere and whatever is no file stay so.
        """
        if not isinstance(error, OSError) or error.errno in (None, *LASTING):
            return False
        return error.errno != errno.ENOENT or not Path(self.locate(row)).is_symlink()


def read_photo_file(path: str | Path) -> bytes:
    """Return the bytes of a file; raise OSError with a reason in words if it is no photo's."""
    status = os.stat(path)  # noqa: PTH116 - Path is slower
    if stat.S_ISDIR(status.st_mode):
        raise OSError("a link to a folder that it lies in")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise OSError("no ordinary file")
    check_photo_bytes(status.st_size)
    with FileIO(path) as file:
        return file.readall()


def check_photo_bytes(size: int) -> None:
    """Raise OSError if a file of `size` bytes is too large for a photo."""
    if size > LARGEST_PHOTO:
        raise OSError(f"{format_size(size)} is too large for a photo")
