"""Read a folder or a zip of images, with a folder for each class, as a source.

Both are a list of paths and a function that reads one; `layouts.py` tells classes from parts.
"""

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from cnntrain.data.fetch.layouts import PARTS, format_names, format_tree_path, read_layout
from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.photo_index import (
    SCANNED_PHOTOS,
    locate_index,
    open_index,
    stamp_folder,
)
from cnntrain.data.photos.readers import FileReader, check_photo_bytes, read_photo_file
from cnntrain.data.source import Source
from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.spec.knobs import normalise_unicode

# What operating systems and network drives leave in folders, in lower case. It is ignored, as are
# hidden files.
LITTER = frozenset((
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "__pycache__",
    "@eadir", "eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot",
    "$recycle.bin", "recycler", "system volume information", "lost+found",
))  # fmt: skip
ROOT = PurePosixPath()
FOLDER = "folder"  # what `dataset.groups` says for the folders within class folders


@dataclass(frozen=True)
class FileTree:
    """The files below a folder or in a zip: the sorted names of the files in each folder.

    `names` has the root and every folder below it, by its path relative to the root, also those
    without files. `read` returns the contents of a file by its relative path. `root` is the folder,
    or None for a zip.
    """

    name: str
    names: Mapping[PurePosixPath, Sequence[str]]
    read: Callable[[str], bytes]
    root: Path | None = None

    def list_files(self) -> list[PurePosixPath]:
        """Return the sorted paths of all files; of a million it takes its time."""
        return sorted(folder / name for folder, names in self.names.items() for name in names)

    def list_subfolders(self, folder: PurePosixPath) -> list[str]:
        """Return the sorted names of the folders directly in `folder`."""
        return self.subfolders.get(folder, [])

    @cached_property
    def subfolders(self) -> dict[PurePosixPath, list[str]]:
        """The sorted names of the folders in each folder that has some."""
        names: dict[PurePosixPath, list[str]] = {}
        for path in self.names:
            if path != ROOT:
                names.setdefault(path.parent, []).append(path.name)
        return {folder: sorted(own) for folder, own in names.items()}

    @cached_property
    def file_counts(self) -> Counter[PurePosixPath]:
        """The number of files below each folder."""
        counts = Counter[PurePosixPath]()
        for path, names in self.names.items():
            for folder in (path, *path.parents):
                counts[folder] += len(names)
        return counts


def open_tree(root: Path, cache_folder: Path | None = None) -> FileTree:
    """Return the contents of a folder or a zip; raise SpecError if it cannot be read.

    The names in a large folder are kept in `cache_folder`, and are there the next time.
    """
    try:
        return read_folder_tree(root, cache_folder) if root.is_dir() else read_zip_tree(root)
    except (OSError, zipfile.BadZipFile) as error:
        where = getattr(error, "filename", None) or root
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            f"{where} cannot be read: {reason}", "a folder or a zip that you may read"
        ) from error


def read_folder_tree(root: Path, cache_folder: Path | None = None) -> FileTree:
    """Return the contents of a folder, with those of linked folders (see `open_tree`)."""
    names = None
    if cache_folder is not None and locate_index(root, cache_folder).exists():
        names = open_index(root, cache_folder).find_names(root)
    if names is None:
        above = (root.resolve(), *root.resolve().parents)
        stamps = dict[PurePosixPath, list[int]]()
        names = dict(walk_folder(root, ROOT, above, stamps))
        if cache_folder is not None and sum(map(len, names.values())) > SCANNED_PHOTOS:
            open_index(root, cache_folder).add_names(root, names, stamps)
    return FileTree(str(root), names, lambda path: read_photo_file(root / path), root)


def walk_folder(
    folder: Path,
    place: PurePosixPath,
    above: tuple[Path, ...],
    stamps: dict[PurePosixPath, list[int]],
) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Yield the place of a folder and the sorted names of its files; then those of folders below.

    A link to a folder in `above` counts as a file, so that links in a circle end. `stamps` gets
    what shows whether the names in a folder have changed since.
    """
    files, folders = list[str](), list[tuple[str, Path]]()
    stamps[place] = stamp_folder(folder)
    for entry in os.scandir(folder):
        if is_hidden(entry.name):
            continue
        if leads_to_folder(entry) and (path := Path(entry.path).resolve()) not in above:
            folders.append((entry.name, path))
        else:
            files.append(entry.name)
    yield place, sorted(files)
    for name, path in sorted(folders):
        yield from walk_folder(folder / name, place / name, (*above, path), stamps)


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read_zip_tree(file: Path) -> FileTree:
    """Return the contents of a zip; raise BadZipFile if it is none."""
    archive = zipfile.ZipFile(file)
    # Some programs for Windows write backslashes.
    infos = {str(PurePosixPath(info.filename.replace("\\", "/").lstrip("/"))): info
             for info in archive.infolist() if not info.is_dir()}  # fmt: skip
    names: dict[PurePosixPath, list[str]] = {ROOT: []}
    for path in map(PurePosixPath, sorted(infos)):
        if not any(is_hidden(part) for part in path.parts):
            for folder in path.parents:
                names.setdefault(folder, [])
            names[path.parent].append(path.name)

    def read(path: str) -> bytes:
        if infos[path].flag_bits & 1:
            raise RuntimeError("encrypted")
        check_photo_bytes(infos[path].file_size)
        return archive.read(infos[path])

    return FileTree(str(file), names, read)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is ignored: a hidden one, or one of LITTER."""
    return name.startswith(".") or name.lower() in LITTER


def leave_out_runs(tree: FileTree) -> tuple[FileTree, list[str]]:
    """Return a tree without the runs and sweeps of cnntrain in it, and a note on their folders.

    Their pages have pictures. A folder that held nothing else is left out with them.
    """
    runs = {path for path, names in tree.names.items() if path != ROOT and is_run(names)}
    if not runs:
        return tree, []
    names = {
        path: own
        for path, own in tree.names.items()
        if path not in runs and runs.isdisjoint(path.parents)
    }
    rest = replace(tree, names=names)
    above = {folder for run in runs for folder in run.parents} - {ROOT}
    empty = {folder for folder in above if not rest.file_counts[folder]}
    names = {path: own for path, own in names.items() if path not in empty}
    tops = sorted(str(path) for path in (runs | empty) if not {*path.parents} & (runs | empty))
    note = f"{tree.name}: runs of cnntrain are left out: {format_names(tops)}"
    return replace(tree, names=names), [note]


def is_run(names: Sequence[str]) -> bool:
    """Return whether a folder with files of these names holds a run or a sweep."""
    return {"run.json", "spec.yaml"} <= {*names} or {"sweep.yaml", "jobs.json"} <= {*names}


def read_tree_source(tree: FileTree, has_scenes: bool = False) -> Source:
    """Return the images of a tree as a source, with the sorted names of their folders as classes.

    If it `has_scenes`, the classes may all have the same folders, which then are groups. Raises
    SpecError for a layout that `read_layout` refuses, and for an empty class.
    """
    tree, notes = leave_out_runs(tree)
    layout = read_layout(tree, has_scenes)
    members: dict[tuple[str, str], list[PurePosixPath]] = {
        home: [] for home in sorted(layout.homes.values(), key=order_by_part)
    }
    for folder in tree.names:
        if found := next((f for f in (folder, *folder.parents) if f in layout.homes), None):
            members[layout.homes[found]].append(folder)
    for folder, home in layout.homes.items():
        if not any(tree.names[own] for own in members[home]):
            raise SpecError(f"{format_tree_path(tree, folder)} has no files", "images of a class")

    numbers = {name: number for number, name in enumerate(sorted({name for _, name in members}))}
    own_paths = [order_files(tree, folders) for folders in members.values()]
    paths = [path for own in own_paths for path in own]
    sizes = [len(own) for own in own_paths]
    labels = np.repeat(np.array([numbers[name] for _, name in members], np.int32), sizes)
    owners = np.repeat([part for part, _ in members], sizes)
    # A process that decodes may have been started in another folder.
    root = str(tree.root.absolute()) if tree.root else None
    read = FileReader(root, paths) if root else lambda row: tree.read(paths[row])
    names = paths if "".join(paths).isprintable() else [escape_unprintable(path) for path in paths]
    photos = Photos(names, read)
    depths = {home: len(folder.parts) for folder, home in layout.homes.items()}
    is_flat = all(
        len(folder.parts) == depths[home] or not tree.names[folder]
        for home, folders in members.items()
        for folder in folders
    )
    grouped = dict(zip(members, own_paths, strict=True))
    groups = {} if is_flat else group_by_folder(grouped, depths)
    return Source(
        photos,
        labels,
        tuple(map(escape_unprintable, numbers)),
        {part: np.flatnonzero(owners == part) for part in dict.fromkeys(p for p, _ in members)},
        notes=[*notes, *layout.notes],
        groups=groups,
    )


def group_by_folder(
    paths: Mapping[tuple[str, str], Sequence[str]], depths: Mapping[tuple[str, str], int]
) -> dict[str, np.ndarray]:
    """Return the groups of a source's photos, as `Source.groups` has them; none without folders.

    A group is a folder within a class folder, with all below it: `scene_12` of
    `cat/scene_12/close/1.jpg`. Folders of one name in several classes or parts are one group. A
    photo directly in its class folder belongs to no other. `paths` are those of each part and
    class, and `depths` tell how deep its class folder lies.
    """
    names = [
        normalise_unicode(parts[depths[home]]) if len(parts := path.split("/")) > depths[home] + 1
        else ""
        for home, own in paths.items()
        for path in own
    ]  # fmt: skip
    return {FOLDER: np.array(names, object)} if any(names) else {}


def order_files(tree: FileTree, folders: Sequence[PurePosixPath]) -> list[str]:
    """Return the paths of all files in some folders of a tree, ordered as Unicode's form NFC is.

    So their order is the same on a system that stores names in another form.
    """
    if len(folders) == 1 and all(map(str.isascii, tree.names[folders[0]])):
        begin = f"{folders[0]}/"  # a million names are many
        return [begin + name for name in tree.names[folders[0]]]
    parts = sorted((*folder.parts, name) for folder in folders for name in tree.names[folder])
    return [
        "/".join(path) for path in sorted(parts, key=lambda path: [*map(normalise_unicode, path)])
    ]


def order_by_part(home: tuple[str, str]) -> tuple[int, str]:
    """Return the sort key by which a source orders images: first by part, then by class."""
    part, name = home
    return list(PARTS).index(part), name
