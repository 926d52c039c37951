"""Read a folder or a zip of images, with a folder for each class, as a source.

Both are a list of paths and a function that reads one; `layouts.py` tells classes from parts.
"""

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from cnntrain.data.fetch.layouts import PARTS, format_tree_path, read_layout
from cnntrain.data.photos.photo import Photos
from cnntrain.data.source import Source
from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.spec.knobs import normalise_unicode
from cnntrain.terminal.units import format_size

# What operating systems and network drives leave in folders, in lower case. It is ignored, as are
# hidden files.
LITTER = (
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "__pycache__",
    "@eadir", "eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot",
    "$recycle.bin", "recycler", "system volume information", "lost+found",
)  # fmt: skip
LARGEST_PHOTO = 2**28  # bytes; a larger file is a film or an archive, and is not read


@dataclass(frozen=True)
class FileTree:
    """The files and folders below a folder or in a zip, as sorted paths relative to it."""

    name: str
    files: Sequence[PurePosixPath]
    folders: Sequence[PurePosixPath]
    read: Callable[[PurePosixPath], bytes]

    def list_subfolders(self, folder: PurePosixPath) -> list[str]:
        """Return the sorted names of the folders directly in `folder`."""
        return self.subfolders.get(folder, [])

    @cached_property
    def subfolders(self) -> dict[PurePosixPath, list[str]]:
        """The sorted names of the folders in each folder that has some."""
        names: dict[PurePosixPath, list[str]] = {}
        for path in self.folders:
            names.setdefault(path.parent, []).append(path.name)
        return {folder: sorted(own) for folder, own in names.items()}

    @cached_property
    def file_counts(self) -> Counter[PurePosixPath]:
        """The number of files below each folder."""
        return Counter(folder for path in self.files for folder in path.parents)


def open_tree(root: Path) -> FileTree:
    """Return the contents of a folder or a zip; raise SpecError if it cannot be read."""
    try:
        return read_folder_tree(root) if root.is_dir() else read_zip_tree(root)
    except (OSError, zipfile.BadZipFile) as error:
        where = getattr(error, "filename", None) or root
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            f"{where} cannot be read: {reason}", "a folder or a zip that you may read"
        ) from error


def read_folder_tree(root: Path) -> FileTree:
    """Return the contents of a folder, with those of linked folders."""
    files, folders = list[PurePosixPath](), list[PurePosixPath]()
    above = (root.resolve(), *root.resolve().parents)
    for path, is_folder in walk_folder(root, above):
        (folders if is_folder else files).append(PurePosixPath(path.relative_to(root).as_posix()))
    return FileTree(
        str(root), sorted(files), sorted(folders), lambda path: read_photo_file(root / path)
    )


def walk_folder(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """Yield every path below a folder, and whether it is a folder to look into.

    A link to a folder in `above` counts as a file, so that links in a circle end.
    """
    for entry in os.scandir(folder):
        if is_hidden(entry.name):
            continue
        path = Path(entry.path)
        inside = leads_to_folder(entry) and path.resolve() not in above
        yield path, inside
        if inside:
            yield from walk_folder(path, (*above, path.resolve()))


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read_photo_file(path: Path) -> bytes:
    """Return the bytes of a file; raise OSError with a reason in words if it is no photo's."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise OSError("a link to a folder that it lies in")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise OSError("no ordinary file")
    check_photo_bytes(status.st_size)
    return path.read_bytes()


def check_photo_bytes(size: int) -> None:
    """Raise OSError if a file of `size` bytes is too large for a photo."""
    if size > LARGEST_PHOTO:
        raise OSError(f"{format_size(size)} is too large for a photo")


def read_zip_tree(file: Path) -> FileTree:
    """Return the contents of a zip; raise BadZipFile if it is none."""
    archive = zipfile.ZipFile(file)
    # Some programs for Windows write backslashes.
    infos = {PurePosixPath(info.filename.replace("\\", "/").lstrip("/")): info
             for info in archive.infolist() if not info.is_dir()}  # fmt: skip
    files = sorted(path for path in infos if not any(is_hidden(part) for part in path.parts))
    folders = {folder for path in files for folder in path.parents} - {PurePosixPath()}

    def read(path: PurePosixPath) -> bytes:
        if infos[path].flag_bits & 1:
            raise RuntimeError("encrypted")
        check_photo_bytes(infos[path].file_size)
        return archive.read(infos[path])

    return FileTree(str(file), files, sorted(folders), read)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is ignored: a hidden one, or one of LITTER."""
    return name.startswith(".") or name.lower() in LITTER


def read_tree_source(tree: FileTree) -> Source:
    """Return the images of a tree as a source, with the sorted names of their folders as classes.

    Raises SpecError for a layout that `read_layout` refuses, and for an empty class.
    """
    layout = read_layout(tree)
    members: dict[tuple[str, str], list[PurePosixPath]] = {
        home: [] for home in sorted(layout.homes.values(), key=order_by_part)
    }
    for path in sorted(tree.files, key=lambda path: PurePosixPath(normalise_unicode(str(path)))):
        if found := next((folder for folder in path.parents if folder in layout.homes), None):
            members[layout.homes[found]].append(path)
    for folder, home in layout.homes.items():
        if not members[home]:
            raise SpecError(f"{format_tree_path(tree, folder)} has no files", "images of a class")

    names = sorted({name for _, name in members})
    paths = [path for own in members.values() for path in own]
    sizes = [len(own) for own in members.values()]
    labels = np.repeat(np.array([names.index(name) for _, name in members], np.int32), sizes)
    owners = np.repeat([part for part, _ in members], sizes)
    photos = Photos(
        [escape_unprintable(str(path)) for path in paths], lambda row: tree.read(paths[row])
    )
    return Source(
        photos,
        labels,
        tuple(escape_unprintable(name) for name in names),
        {part: np.flatnonzero(owners == part) for part in dict.fromkeys(owners.tolist())},
        notes=layout.notes,
    )


def order_by_part(home: tuple[str, str]) -> tuple[int, str]:
    """Return the sort key by which a source orders images: first by part, then by class."""
    part, name = home
    return list(PARTS).index(part), name
