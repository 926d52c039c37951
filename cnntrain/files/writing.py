"""Write files whole or not at all, and never through a link in their place.

A file is written under a name that nobody can guess, flushed to disk and renamed. If anything goes
wrong, such as a full disk, the old file stays. `check_links_inside` raises SpecError for links and
pipes in a stranger's run.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cnntrain.errors import SpecError
from cnntrain.terminal.units import format_size

UNFINISHED_PREFIX = ".unfinished_"  # begins the names of files that are being written
MAX_EXPANDED_BYTES = 2**27  # size to which any member of a zip may expand
DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
H5_ERRNO = re.compile(r"errno = (\d+)")  # how h5py passes on an error number of HDF5
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
REPLACE_ATTEMPTS, REPLACE_PAUSE = 40, 0.05  # seconds between attempts, 2 in all: see `rename_over`
# The first characters, after white space, of cells that a spreadsheet runs; four are full-width.
FORMULA_STARTS = tuple("=+-@＝＋－＠")


def make_unfinished_path(path: Path, suffix: str = "") -> Path:
    """Return a name beside `path` that nobody can guess."""
    return path.with_name(f"{UNFINISHED_PREFIX}{secrets.token_hex(8)}{suffix}")


@contextlib.contextmanager
def replace_by_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `path`; after the block it replaces `path`."""
    temporary = make_unfinished_path(path, path.suffix)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        rename_over(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def replace_by_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a temporary binary file, open to read and write; after the block it replaces `path`."""
    temporary = make_unfinished_path(path)
    try:
        with temporary.open("xb+") as file:  # x: fails if anything, also a link, has this name
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename_over(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def rename_over(temporary: Path, path: Path) -> None:
    """Rename a file, in place of an older one.

    Windows refuses that while another program reads the older one, such as a sweep or a virus
    scanner; it is then tried again for two seconds.
    """
    for attempt in range(REPLACE_ATTEMPTS):
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if os.name != "nt" or attempt == REPLACE_ATTEMPTS - 1:
                raise
            time.sleep(REPLACE_PAUSE)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole, in place of an older file or link of this name."""
    with replace_by_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def break_hard_links(path: Path) -> None:
    """Replace a file that has other names, by hard links, by a copy that may be written to."""
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
        with path.open("rb") as content, replace_by_file(path) as copy:
            shutil.copyfileobj(content, copy)


def open_existing(path: Path, mode: str, **how: Any) -> IO[Any]:
    """Open a file to append to it or to change it in place; raise SpecError if it is a link.

    Its other names, by hard links of a stranger's archive or of `cp -l`, keep the old content.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | NO_FOLLOW, 0o666)

    if path.is_symlink():
        raise SpecError(f"{path} is a link", "a file, which is written to", f"rm {path}")
    break_hard_links(path)
    return open(path, mode, opener=opener, **how)  # Path.open has no opener


def overwrite_in_place(path: Path, text: str) -> None:
    """Write a text over a file, unless it needs more disk blocks than the file has."""
    content = text.encode("utf-8")
    with open_existing(path, "rb+") as file:
        blocks = getattr(os.fstat(file.fileno()), "st_blocks", 0)
        if len(content) <= 512 * blocks:
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def find_disk_failure(error: BaseException | None) -> str | None:
    """Return why a disk could not be written to, if that caused the error, else None."""
    while error is not None:
        match = H5_ERRNO.search(str(error))
        number = error.errno if isinstance(error, OSError) else None
        number = int(match[1]) if number is None and match else number
        if number in DISK_FAILURES:
            return os.strerror(number).lower()
        error = error.__cause__ or error.__context__
    return None


def clear_unfinished(folder: Path) -> None:
    """Remove the unfinished files in a folder, which killed processes have left."""
    for file in folder.glob(f"{UNFINISHED_PREFIX}*"):
        with contextlib.suppress(OSError):
            file.unlink()


def flush_file(path: Path) -> None:
    """Flush what has been written to a file to disk; nothing happens if there is no such file."""
    if path.exists():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush renames in a folder to disk, so that they survive a power cut, if the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush_files_below(folder: Path) -> None:
    """Flush all files below a folder to disk."""
    if hasattr(os, "sync"):
        os.sync()
        return
    for above, _, names in os.walk(folder):
        for name in names:
            flush_file(Path(above, name))


def check_links_inside(folder: Path) -> None:
    """Raise SpecError if a directory holds a link out of it, or neither files nor folders.

    The directory itself and its parents may be links: the user made them.
    """
    home = folder.resolve()
    for above, folders, names in os.walk(home):
        for name in (*folders, *names):
            check_entry(Path(above, name), home)


def check_entry(path: Path, home: Path) -> None:
    """Raise SpecError for a link out of `home`, and for a pipe, on which readers wait for ever."""
    try:
        target, kind = path.resolve(), path.stat().st_mode
    except (FileNotFoundError, RuntimeError):  # a broken link or a vanished file; a link to itself
        target, kind = Path(os.path.realpath(path)), stat.S_IFREG
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
        raise SpecError(problem, "files that you may read") from None
    if path.is_symlink() and not target.is_relative_to(home):
        raise SpecError(
            f"{path} is a link to {target}",
            "a file or a folder: no link that leads out of a run is followed",
            "a copy in place of the link, if the run is yours",
        )
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise SpecError(f"{path} is neither a file nor a folder", "a run as training left it")


def check_zip_sizes(archive: zipfile.ZipFile) -> None:
    """Raise ValueError if a member of a zip expands to far more bytes than it has there."""
    for member in archive.infolist():
        if member.file_size > MAX_EXPANDED_BYTES + 100 * member.compress_size:
            raise ValueError(f"{member.filename} becomes {format_size(member.file_size)}")


def escape_formula(cell: Any) -> Any:
    """Return a cell of a CSV file, with a ' before a text that a spreadsheet would run.

    Numbers stay as they are, also in texts: -0.5, +1e-4.
    """
    if not isinstance(cell, str) or not cell.lstrip().startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def unescape_formula(cell: str) -> str:
    """Return a cell without the ' that `escape_formula` put before it."""
    return cell[1:] if cell[:1] == "'" and cell[1:].lstrip().startswith(FORMULA_STARTS) else cell
