"""Unpack photos that come as an archive or a folder into `data_dir`, once, under fixed names.

Each archive gets a folder of its own, `data_dir/NAME/KEY`. KEY comes from the archive's contents,
so that the photos of two archives are never mixed up. The folder gets this name only when it is
complete.
"""

import hashlib
import json
import lzma
import secrets
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from cnntrain.data.fetch.download import (
    DOWNLOADS,
    Archive,
    explain_failed_fetch,
    fetch_archive,
    hash_file,
    make_missing_error,
)
from cnntrain.data.fetch.folders import open_tree, read_folder_tree
from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.readers import FileReader
from cnntrain.errors import SpecError
from cnntrain.files.locks import hold_folder
from cnntrain.files.writing import flush_files_below, write_whole

ORIGIN = "origin.json"  # says what a folder was unpacked from
INCOMPLETE = "incomplete."  # begins the name of a folder that is still being written
ARCHIVE_SUFFIXES = (".zip", ".tgz", ".tar", ".gz", ".bz2", ".xz")
# The errors that archives raise if they are damaged, encrypted or of an unusual kind.
DAMAGE = (
    OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class PhotoCollection:
    """A set of photos: its archives, their usual names, and which of their files it takes."""

    name: str
    archives: Sequence[Archive]  # as published; the photos are in the first
    patterns: Sequence[str]  # glob patterns of its archives and folders, the best first
    sign: str  # a path that an unpacked folder of these photos contains
    wanted: str  # what the user should download, in words
    name_file: Callable[[PurePosixPath], str | None]  # a file's name when unpacked; None skips it
    find_fault: Callable[[Sequence[str]], str | None]  # what is wrong with the unpacked names


@dataclass(frozen=True)
class UnpackedPhotos:
    """The photos of a collection in the order of their names, and their archive and its md5."""

    photos: Photos
    archive: str
    md5: str


def unpack_photos(
    collection: PhotoCollection, data_dir: Path, manual_dir: Path | None
) -> UnpackedPhotos:
    """Return the photos of a collection in `data_dir`, unpacked first if need be.

    They come from `manual_dir`, else from an earlier unpacking, else from the network. Raises
    SpecError if none of these has them, and says which file belongs where.
    """
    home, work = data_dir / collection.name, data_dir / DOWNLOADS / collection.name
    path = find_candidate(collection, manual_dir)
    folder = find_unpacked(collection, home, path)
    if folder is None:
        with hold_folder(work, collection.name):
            folder = find_unpacked(collection, home, path)  # another process may have been faster
            if folder is None:
                path = path or download_archives(collection, work, data_dir, manual_dir)
                folder = unpack_archive(path, collection, home)
    return load_unpacked(folder, collection)


def find_candidate(collection: PhotoCollection, folder: Path | None) -> Path | None:
    """Return the archive or folder in `folder` that looks most like the collection, or None."""
    if folder is None or not folder.is_dir():
        return None
    if (folder / collection.sign).exists():
        return folder
    for pattern in collection.patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_dir() or path.suffix.lower() in ARCHIVE_SUFFIXES:
                return path
    return None


def find_unpacked(collection: PhotoCollection, home: Path, path: Path | None) -> Path | None:
    """Return the folder in `home` that `path` was unpacked into, or None.

    Without a `path`, this is the folder of a published archive, else the one unpacked last.
    """
    if path is not None:
        folder = home / compute_md5(path, collection)[:12]
        return folder if (folder / ORIGIN).is_file() else None
    published = [archive.digest[:12] for archive in collection.archives]
    folders = [file.parent for file in home.glob(f"*/{ORIGIN}")]
    return max(
        (folder for folder in folders if not folder.name.startswith(INCOMPLETE)),
        default=None,
        key=lambda folder: (folder.name in published, folder.stat().st_mtime),
    )


def download_archives(
    collection: PhotoCollection, work: Path, data_dir: Path, manual_dir: Path | None
) -> Path:
    """Download the published archives and return the first; raise SpecError on failure."""
    why = "it is not downloaded, because its checksum is not known"
    try:
        if files := [fetch_archive(archive, work) for archive in collection.archives]:
            return files[0]
    except OSError as error:
        why = explain_failed_fetch(error)
    absent = [collection.patterns[0]]
    raise make_missing_error(collection.name, collection.wanted, absent, data_dir, manual_dir, why)


def compute_md5(path: Path, collection: PhotoCollection) -> str:
    """Return the md5 of an archive, or of the names and contents of a folder's photos."""
    if path.is_file():
        return hash_file(path, "md5")
    total = hashlib.md5()
    for file in open_tree(path).list_files():
        if name := collection.name_file(file):
            total.update(f"{name} {hash_file(path / file, 'md5')}\n".encode())
    return total.hexdigest()


def unpack_archive(path: Path, collection: PhotoCollection, home: Path) -> Path:
    """Write the photos of an archive into a folder in `home` and return it.

    The folder appears only when it is complete. Raises SpecError for an archive that is damaged or
    lacks photos, and for a full disk.
    """
    key = compute_md5(path, collection)
    folder, part = home / key[:12], home / f"{INCOMPLETE}{secrets.token_hex(8)}"
    for leftover in [folder, *home.glob(f"{INCOMPLETE}*")]:
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        part.mkdir(parents=True)  # a new random name, which nobody can have linked elsewhere
        names = list(write_members(path, collection, part))
        if fault := collection.find_fault(names):
            raise SpecError(f"{path} {fault}", collection.wanted)
        origin = {"archive": path.name, "md5": key, "photos": len(names)}
        write_whole(part / ORIGIN, json.dumps(origin))
        flush_files_below(part)  # before their folder gets its name
        return part.rename(folder)  # a whole folder at once
    except DAMAGE as error:
        raise SpecError(
            f"{path} cannot be unpacked into {home}: {str(error) or type(error).__name__}",
            "an archive that is whole, and room on the disk",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_members(path: Path, collection: PhotoCollection, part: Path) -> Iterator[str]:
    """Write the photos of an archive into `part` and yield their names.

    Raises SpecError if two photos would have the same name.
    """
    for file, read in iterate_members(path):
        if (name := collection.name_file(file)) is not None:
            target = part / name
            if target.exists():
                raise SpecError(f"{path} has two files {name}", "one of each name")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as out:
                out.write(read())
            yield name


def iterate_members(path: Path) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    """Yield the files in a folder, a zip or a tar, each with a function that returns its contents.

    The function must be called before the next file is asked for.
    """
    if path.is_dir() or path.suffix.lower() == ".zip":
        tree = open_tree(path)
        for file in tree.list_files():
            yield file, partial(tree.read, str(file))
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and (content := tar.extractfile(member)):
                yield PurePosixPath(member.name), content.read


def load_unpacked(folder: Path, collection: PhotoCollection) -> UnpackedPhotos:
    """Return the photos in an unpacked folder; raise SpecError if somebody removed some."""
    origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    files = [file for file in read_folder_tree(folder).list_files() if collection.name_file(file)]
    if len(files) != origin["photos"]:
        raise SpecError(
            f"{folder} has {len(files):,} photos of {origin['photos']:,}",
            "what was unpacked there",
            f"rm -r {folder}",
        )
    paths = [str(file) for file in files]
    photos = Photos(paths, FileReader(str(folder.absolute()), paths))
    return UnpackedPhotos(photos, origin["archive"], origin["md5"])
