"""The checkpoint file: everything that the rest of a run depends on, exact, atomic and verified.

On disk it is `last.state` in the run's folder `state/`, and the one before it `previous.state`. A
file begins with the sha256 of the rest, which is an npz of arrays with a JSON text of facts. It
is written under a temporary name, flushed to disk and renamed. The previous file is kept, so that a
crash at any moment leaves a whole one. Nothing here needs the main thread, which may train on.
"""

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cnntrain.files.writing import flush_file, flush_folder, replace_by_file

LAST, PREVIOUS = "last.state", "previous.state"
DIGEST_LINE = 65  # 64 hexadecimal digits and a newline


@dataclass(frozen=True)
class Checkpoint:
    """Named arrays, and facts in JSON's types; `damaged_files` names files that were not whole."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    damaged_files: tuple[str, ...] = ()


class HashingStream(io.RawIOBase):
    """A stream that nobody can seek in, so that the sha256 of all that is written is known."""

    def __init__(self, file: IO[bytes]):
        super().__init__()
        self.file, self.sha256 = file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        """Write bytes to the file, and return how many they were."""
        self.sha256.update(content)
        return self.file.write(content)


def save_checkpoint(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    tables: Sequence[Path] = (),
) -> None:
    """Save the last checkpoint in `folder`; the last one so far becomes the previous one.

    Before, the files `tables`, whose lengths are among the facts, are flushed to disk. Raises
    OSError, of a full disk for example, and then leaves both checkpoints as they were.
    """
    folder.mkdir(exist_ok=True)
    for table in tables:
        flush_file(table)
    last = folder / LAST
    with replace_by_file(last) as file:
        file.write(b" " * DIGEST_LINE)
        names = json.dumps(list(arrays))
        values: dict[str, Any] = {
            f"array{number}": value for number, value in enumerate(arrays.values())
        }
        stream = HashingStream(file)  # into which the zip goes without seeking back
        np.savez(stream, names=names, facts=json.dumps(dict(facts)), **values)
        file.seek(0)
        file.write(stream.sha256.hexdigest().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())  # only a whole file may replace the last one
        if last.exists():
            last.replace(folder / PREVIOUS)
    flush_folder(folder)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint in `folder` that is whole, or None if there is no file.

    If none is whole, the checkpoint is empty and names the damaged files.
    """
    damaged: list[str] = []
    for name in (LAST, PREVIOUS):
        path = folder / name
        if path.is_file():
            content = path.read_bytes()
            payload = content[DIGEST_LINE:]
            if content[:DIGEST_LINE] == hashlib.sha256(payload).hexdigest().encode() + b"\n":
                # A file that cnntrain did not write may have a right digest and another content.
                with contextlib.suppress(ValueError, KeyError, OSError, zipfile.BadZipFile):
                    return unpack_checkpoint(payload, tuple(damaged))
            damaged.append(name)
    return Checkpoint({}, {}, tuple(damaged)) if damaged else None


def unpack_checkpoint(payload: bytes, damaged: tuple[str, ...]) -> Checkpoint:
    """Return the checkpoint that the bytes behind a file's first line hold."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        names = json.loads(str(archive["names"]))
        arrays = {name: archive[f"array{number}"] for number, name in enumerate(names)}
        return Checkpoint(arrays, json.loads(str(archive["facts"])), damaged)
