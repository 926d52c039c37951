"""What the operating system refuses, as an answer: the use of a path, or more of what it has."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from cnntrain.errors import Failure, SpecError
from cnntrain.files.paths import expand_user_path

# About a path that somebody gave. ENOENT is one only below such a path: else it is our mistake.
PATH_ERRORS = {
    errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR,
    errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE,
}  # fmt: skip
# About this machine, now.
MACHINE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    errno.EAGAIN, errno.ENOLCK, errno.ETIMEDOUT,
}  # fmt: skip


def explain_os_error(error: OSError, words: Sequence[str] = ()) -> SpecError | Failure | None:
    """The answer to an error of the system, or None for one that is nobody's mistake but ours.

    `words` are those of the command line: one that leads nowhere is named as it was written.
    """
    path = "" if error.filename is None else os.fsdecode(error.filename)
    reason = error.strerror or str(error)
    if error.errno in MACHINE_ERRORS:
        return Failure(f"{path}: {reason}" if path else reason)
    given = find_given_word(path, words)
    if path and (error.errno in PATH_ERRORS or (error.errno == errno.ENOENT and given)):
        does = "written" if error.errno == errno.EROFS else "read"
        # Of a folder that was given and can be entered, the thing in it that is meant.
        meant = path if os.path.lexists(path) else given or path
        return SpecError(f"{meant} cannot be {does}: {reason}", "a path that you may use")
    return None


def find_given_word(path: str, words: Sequence[str]) -> str:
    """The longest word of a command line, or its value, that a path lies below; or nothing."""
    parts = [part for word in words for part in (word, word.partition("=")[2]) if part]
    below = [part for part in parts if is_below(path, part)]
    return max(below, key=len, default="")


def is_below(path: str, folder: str) -> bool:
    return Path(path).absolute().is_relative_to(expand_user_path(folder).absolute())
