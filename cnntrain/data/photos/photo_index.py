"""What is known of the photos below a folder, in an SQLite file that all runs share.

A file counts as known while its size and time of change are the same; the sha256 of its contents
tells a file that was only touched from one that has changed. The names in a folder count as known
while its own time is the same. Without the file nothing is lost but time.
"""

import functools
import hashlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from cnntrain.data.photos.cache_folder import INDEX
from cnntrain.data.photos.readers import FileFacts

SCANNED_PHOTOS = 50_000  # of more only the names are known before the first step
SETTLED = 2  # seconds; a later change within one tick of the disk's clock would not show
TABLES = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, time INTEGER, "
    "digest BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS folders (path BLOB PRIMARY KEY, device INTEGER, number INTEGER, "
    "time INTEGER, names BLOB) WITHOUT ROWID",
)
T = TypeVar("T")
Names = Mapping[PurePosixPath, Sequence[str]]


@functools.cache
def open_index(root: Path, folder: Path) -> "PhotoIndex":
    """Return the index of the photos below `root`, which is kept in a folder in `folder`."""
    return PhotoIndex(locate_index(root, folder))


def locate_index(root: Path, folder: Path) -> Path:
    """Return the file of the index of the photos below `root`."""
    name = hashlib.sha256(f"index of {root.resolve()}".encode(errors="surrogateescape"))
    return folder / name.hexdigest()[:24] / INDEX


class PhotoIndex:
    """The index of one folder of photos; threads and processes may share it.

    If its file cannot be used, nothing is known, and a warning says so.
    """

    def __init__(self, file: Path):
        self.file, self.lock = file, threading.Lock()
        self.database: sqlite3.Connection | None = None
        try:
            self.database = open_database(file)
        except (sqlite3.Error, OSError) as error:
            self.warn(error)

    def find_files(self, paths: Sequence[str]) -> list[FileFacts | None]:
        """Return what is known of each of some files, or None."""
        keys, marks = [os.fsencode(path) for path in paths], ",".join("?" * len(paths))
        rows = self.read(
            f"SELECT path, size, time, digest FROM files WHERE path IN ({marks})", keys
        )
        found = {key: FileFacts(*facts) for key, *facts in rows}
        return [found.get(key) for key in keys]

    def add_files(self, facts: Mapping[str, FileFacts]) -> None:
        """Keep what is known of some files now, but of none that has only just been written."""
        settled = time.time_ns() - SETTLED * 10**9
        rows = [(os.fsencode(path), *own) for path, own in facts.items() if own.time < settled]
        self.write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)

    def find_names(self, root: Path) -> Names | None:
        """Return the names of the files in each folder below `root`; None if one has changed."""
        names = {}
        for key, *stamp, own in self.read("SELECT path, device, number, time, names FROM folders"):
            place = PurePosixPath(os.fsdecode(key))
            try:
                if stamp != stamp_folder(root / place):
                    return None
            except OSError:  # it is gone
                return None
            names[place] = os.fsdecode(own).split("\0") if own else []
        return names or None

    def add_names(
        self, root: Path, names: Names, stamps: Mapping[PurePosixPath, list[int]]
    ) -> None:
        """Keep the names in all folders, which had these `stamps` before they were listed.

        They are not kept if a folder has only just been changed.
        """
        settled = time.time_ns() - SETTLED * 10**9
        if any(stamp[-1] >= settled for stamp in stamps.values()):
            return
        rows = [
            (os.fsencode(place), *stamps[place], os.fsencode("\0".join(own)))
            for place, own in names.items()
        ]
        self.write("DELETE FROM folders", [()])
        self.write("INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?)", rows)

    def read(self, query: str, values: Sequence[bytes] = ()) -> list[tuple[Any, ...]]:
        """Return the rows that a query finds, none without a database."""
        return self.use(lambda database: database.execute(query, values).fetchall()) or []

    def write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Execute a statement for each of some rows, for all of them or none."""
        if rows:
            self.use(lambda database: write_rows(database, statement, rows))

    def use(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what an action on the database returns; go on without one if it fails."""
        with self.lock:
            try:
                return None if self.database is None else action(self.database)
            except sqlite3.Error as error:
                self.database = None
                self.warn(error)
                return None

    def warn(self, error: Exception) -> None:
        why = f"{self.file} cannot be used ({error})"
        print(f"Warning: {why}: what photos contain is not kept", file=sys.stderr)


def open_database(file: Path) -> sqlite3.Connection:
    """Return a connection to an index, which is made anew if it is damaged."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return prepare_database(file)
    except sqlite3.OperationalError:  # it is locked, or the disk is
        raise
    except sqlite3.DatabaseError:
        file.unlink()
        return prepare_database(file)


def prepare_database(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous=OFF")  # what a crash of the machine loses is read again
    for table in TABLES:
        database.execute(table)
    return database


def write_rows(
    database: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]
) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        database.executemany(statement, rows)
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def stamp_folder(folder: Path) -> list[int]:
    """Return what changes with the names in a folder: its device, its number and its time."""
    status = folder.stat()
    return [status.st_dev, status.st_ino, status.st_mtime_ns]
