"""How files are written: whole or not at all, and never through a link that lies in their place.

A file is written under a name that nobody can guess, flushed to disk and renamed; whatever goes
wrong, a full disk say, leaves what was there. Whoever unpacks a stranger's run finds only files and
folders in it, or is told (`check_links_inside`).
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cnntrain.errors import SpecError
from cnntrain.terminal.units import format_size

UNFINISHED_PREFIX = ".unfinished_"  # how names of files begin that are being written
MAX_EXPANDED_BYTES = 2**27  # bytes that a member of a zip may become in any case
DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
H5_ERRNO = re.compile(r"errno = (\d+)")  # as h5py tells what HDF5 was told
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# How a cell begins, after any white space, that a spreadsheet runs; the last four are Japanese.
FORMULA_STARTS = tuple("=+-@＝＋－＠")


def make_unfinished_path(path: Path, suffix: str = "") -> Path:
    """Return a name beside `path` that nobody can guess."""
    return path.with_name(f"{UNFINISHED_PREFIX}{secrets.token_hex(8)}{suffix}")


@contextlib.contextmanager
def replace_by_path(path: Path) -> Iterator[Path]:
    """Give a name to write to, with the ending of `path`, which it becomes after the block."""
    temporary = make_unfinished_path(path, path.suffix)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def replace_by_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file, open to read and write, that becomes `path` after the block."""
    temporary = make_unfinished_path(path)
    try:
        with temporary.open("xb+") as file:  # x: it is made now, and no link is followed
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole, in place of one or of a link that has its name."""
    with replace_by_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def break_hard_links(path: Path) -> None:
    """Give a file that has other names, hard links, a copy of its own to write to."""
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
        with path.open("rb") as content, replace_by_file(path) as copy:
            shutil.copyfileobj(content, copy)


def open_existing(path: Path, mode: str, **how: Any) -> IO[Any]:
    """Open a file to append to, or to change in its place; SpecError where a link is.

    What a hard link shares with it, in a stranger's archive or after `cp -l`, stays as it was.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | NO_FOLLOW, 0o666)

    if path.is_symlink():
        raise SpecError(f"{path} is a link", "a file, which is written to", f"rm {path}")
    break_hard_links(path)
    return open(path, mode, opener=opener, **how)  # Path.open has no opener


def overwrite_in_place(path: Path, text: str) -> None:
    """Write a text over a file, unless that would need more of the disk than the file has."""
    content = text.encode("utf-8")
    with open_existing(path, "rb+") as file:
        blocks = getattr(os.fstat(file.fileno()), "st_blocks", 0)
        if len(content) <= 512 * blocks:
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def find_disk_failure(error: BaseException | None) -> str | None:
    """Why a disk could not be written to, if that is what an error came from; else None."""
    while error is not None:
        told = H5_ERRNO.search(str(error))
        number = error.errno if isinstance(error, OSError) else None
        number = int(told[1]) if number is None and told else number
        if number in DISK_FAILURES:
            return os.strerror(number).lower()
        error = error.__cause__ or error.__context__
    return None


def clear_unfinished(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder."""
    for left in folder.glob(f"{UNFINISHED_PREFIX}*"):
        with contextlib.suppress(OSError):
            left.unlink()


def flush_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_links_inside(folder: Path) -> None:
    """Refuse a directory in which anything leads out of it, or is neither a file nor a folder.

    The directory itself, and those above, may be links: they are the user's own.
    """
    home = folder.resolve()
    for above, folders, names in os.walk(home):
        for name in (*folders, *names):
            check_entry(Path(above, name), home)


def check_entry(path: Path, home: Path) -> None:
    """Refuse a link that leads out of `home`, and what a reader waits on for ever: a pipe, say."""
    try:
        target, kind = path.resolve(), path.stat().st_mode
    except (FileNotFoundError, RuntimeError):  # of a link, or gone meanwhile; or a link to itself
        target, kind = Path(os.path.realpath(path)), stat.S_IFREG
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        raise SpecError(what, "files that you may read") from None
    if path.is_symlink() and not target.is_relative_to(home):
        raise SpecError(
            f"{path} is a link to {target}",
            "a file or a folder: no link that leads out of a run is followed",
            "a copy in place of the link, if the run is yours",
        )
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise SpecError(f"{path} is neither a file nor a folder", "a run as training left it")


def check_zip_sizes(archive: zipfile.ZipFile) -> None:
    """Refuse a zip of which a member becomes far larger than it lies there: ValueError."""
    for member in archive.infolist():
        if member.file_size > MAX_EXPANDED_BYTES + 100 * member.compress_size:
            raise ValueError(f"{member.filename} becomes {format_size(member.file_size)}")


def escape_formula(cell: Any) -> Any:
    """Return a cell of a CSV file that no spreadsheet runs: a text like a formula behind a '.

    Numbers stay numbers, also where they are texts: -0.5, +1e-4.
    """
    if not isinstance(cell, str) or not cell.lstrip().startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
