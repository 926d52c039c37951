"""Explain errors of the operating system: a path that may not be used, a resource used up."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from cnntrain.errors import Failure, SpecError
from cnntrain.files.paths import expand_user_path

# Errors of a path that the user gave. ENOENT is one only below such a path: else it is our bug.
PATH_ERRORS = {
    errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR,
    errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE,
}  # fmt: skip
# Errors of this machine at the moment, such as a full disk.
MACHINE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    errno.EAGAIN, errno.ENOLCK, errno.ETIMEDOUT,
}  # fmt: skip


def explain_os_error(error: OSError, words: Sequence[str] = ()) -> SpecError | Failure | None:
    """Return the exception that explains an error of the system, or None for a bug of ours.

    It is a SpecError for a path that the user gave, a Failure for a limit of the machine. `words`
    holds the words of the command line; a path among them is named as it was written.
    """
    path = "" if error.filename is None else os.fsdecode(error.filename)
    reason = error.strerror or str(error)
    if error.errno in MACHINE_ERRORS:
        return Failure(f"{path}: {reason}" if path else reason)
    word = find_given_word(path, words)
    if path and (error.errno in PATH_ERRORS or (error.errno == errno.ENOENT and word)):
        does = "written" if error.errno == errno.EROFS else "read"
        # In a folder that the user gave, name the entry that raised the error, if it is there.
        named = path if os.path.lexists(path) else word or path
        return SpecError(f"{named} cannot be {does}: {reason}", "a path that you may use")
    return None


def find_given_word(path: str, words: Sequence[str]) -> str:
    """Return the longest word of a command line, or its value, that `path` lies below, or ''."""
    parts = [part for word in words for part in (word, word.partition("=")[2]) if part]
    below = [part for part in parts if is_below(path, part)]
    return max(below, key=len, default="")


def is_below(path: str, folder: str) -> bool:
    return Path(path).absolute().is_relative_to(expand_user_path(folder).absolute())
