"""Images in folders, one a class, in parts or not (`layouts.py` says which is which): a source.

A folder and a zip are both a list of paths and a way to read one.
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

# What systems and network drives leave in folders, in small letters; hidden files are, too.
LITTER = (
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "__pycache__",
    "@eadir", "eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot",
    "$recycle.bin", "recycler", "system volume information", "lost+found",
)  # fmt: skip
LARGEST_PHOTO = 2**28  # bytes of a photo; what is larger is a film or an archive, and is not read


@dataclass(frozen=True)
class FileTree:
    """What lies below a folder or in a zip, as paths relative to it, sorted."""

    name: str
    files: Sequence[PurePosixPath]
    folders: Sequence[PurePosixPath]
    read: Callable[[PurePosixPath], bytes]

    def list_subfolders(self, folder: PurePosixPath) -> list[str]:
        """The names of the folders in one of the tree's folders, sorted."""
        return self.subfolders.get(folder, [])

    @cached_property
    def subfolders(self) -> dict[PurePosixPath, list[str]]:
        """The names of the folders in each folder that has some, sorted."""
        names: dict[PurePosixPath, list[str]] = {}
        for path in self.folders:
            names.setdefault(path.parent, []).append(path.name)
        return {folder: sorted(own) for folder, own in names.items()}

    @cached_property
    def file_counts(self) -> Counter[PurePosixPath]:
        """How many files there are below each folder."""
        return Counter(folder for path in self.files for folder in path.parents)


def open_tree(root: Path) -> FileTree:
    """Return what is in a folder or a zip; raise SpecError where it cannot be read."""
    try:
        return read_folder_tree(root) if root.is_dir() else read_zip_tree(root)
    except (OSError, zipfile.BadZipFile) as error:
        where = getattr(error, "filename", None) or root
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            f"{where} cannot be read: {reason}", "a folder or a zip that you may read"
        ) from error


def read_folder_tree(root: Path) -> FileTree:
    files, folders = list[PurePosixPath](), list[PurePosixPath]()
    above = (root.resolve(), *root.resolve().parents)
    for path, is_folder in walk_folder(root, above):
        (folders if is_folder else files).append(PurePosixPath(path.relative_to(root).as_posix()))
    return FileTree(
        str(root), sorted(files), sorted(folders), lambda path: read_photo_file(root / path)
    )


def walk_folder(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """All paths below a folder, and whether each is a folder; a link to one above is a file."""
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
    """The bytes of a file; OSError says in words why it is not read."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise OSError("a link to a folder that it lies in")
    if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
        raise OSError("no ordinary file")
    check_photo_bytes(found.st_size)
    return path.read_bytes()


def check_photo_bytes(size: int) -> None:
    if size > LARGEST_PHOTO:
        raise OSError(f"{format_size(size)} are too many for a photo")


def read_zip_tree(file: Path) -> FileTree:
    archive = zipfile.ZipFile(file)
    # Some programs for Windows write backslashes.
    named = {PurePosixPath(info.filename.replace("\\", "/").lstrip("/")): info
             for info in archive.infolist() if not info.is_dir()}  # fmt: skip
    files = sorted(path for path in named if not any(is_hidden(part) for part in path.parts))
    folders = {folder for path in files for folder in path.parents} - {PurePosixPath()}

    def read(path: PurePosixPath) -> bytes:
        if named[path].flag_bits & 1:
            raise RuntimeError("encrypted")
        check_photo_bytes(named[path].file_size)
        return archive.read(named[path])

    return FileTree(str(file), files, sorted(folders), read)


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def read_tree_source(tree: FileTree) -> Source:
    """Return the images of a tree; class names are the names of the folders, sorted.

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
    """The place of the images of a part and a class in a source."""
    part, name = home
    return list(PARTS).index(part), name
