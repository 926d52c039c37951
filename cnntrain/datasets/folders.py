"""Images in folders, one a class, with train/, valid/ and test/ above or without: a source.

A folder and a zip are both a list of paths and a way to read one.
"""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from cnntrain.datasets.photos import Photos
from cnntrain.datasets.source import Source
from cnntrain.errors import SpecError

# What people call the three parts.
PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
# What systems leave in folders; hidden files are left out as well.
LITTER = ("Thumbs.db", "desktop.ini", "__MACOSX")


@dataclass(frozen=True)
class Tree:
    """What lies below a folder or in a zip, as paths relative to it, sorted."""

    name: str
    files: Sequence[PurePosixPath]
    folders: Sequence[PurePosixPath]
    read: Callable[[PurePosixPath], bytes]

    def below(self, folder: str) -> list[str]:
        """The names of the folders in one of the tree's folders, sorted."""
        return sorted(path.name for path in self.folders if str(path.parent) == folder)


def opened(root: Path) -> Tree:
    """Return what is in a folder or a zip; raise SpecError where it cannot be read."""
    try:
        return of_folder(root) if root.is_dir() else of_zip(root)
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            f"{root} cannot be read: {reason}", "a folder or a zip that you may read"
        ) from error


def of_folder(root: Path) -> Tree:
    files, folders = list[PurePosixPath](), list[PurePosixPath]()
    for path, is_folder in walked(root, (root.resolve(),)):
        (folders if is_folder else files).append(PurePosixPath(path.relative_to(root).as_posix()))
    return Tree(str(root), sorted(files), sorted(folders), lambda path: (root / path).read_bytes())


def walked(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """All paths below a folder, and whether each is a folder; a link to one above is a file."""
    for entry in os.scandir(folder):
        if entry.name.startswith(".") or entry.name in LITTER:
            continue
        path = Path(entry.path)
        inside = leads_to_folder(entry) and path.resolve() not in above
        yield path, inside
        if inside:
            yield from walked(path, (*above, path.resolve()))


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def of_zip(file: Path) -> Tree:
    archive = zipfile.ZipFile(file)
    names = [PurePosixPath(info.filename) for info in archive.infolist() if not info.is_dir()]
    files = [path for path in names if not any(hidden(part) for part in path.parts)]
    folders = {folder for path in files for folder in path.parents} - {PurePosixPath(".")}
    return Tree(str(file), sorted(files), sorted(folders), lambda path: archive.read(str(path)))


def hidden(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def source(tree: Tree) -> Source:
    """Return the images of a tree; class names are the names of the folders, sorted.

    Raises SpecError for fewer than two classes, an empty class, or parts whose classes differ.
    """
    top = beginning(tree)
    found = {part: next((n for n in names if n in tree.below(top)), None)
             for part, names in PARTS.items()}  # fmt: skip
    tops = {part: joined(top, name) for part, name in found.items() if name is not None}
    if "train" not in tops:
        tops = {"train": top}
    class_names = tree.below(tops["train"])
    where = shown(tree, tops["train"])
    if len(class_names) < 2:
        raise SpecError(
            f"{where} has {len(class_names)} class folder{'s' * (len(class_names) != 1)}",
            "two or more, each with the images of its class",
        )
    paths: list[PurePosixPath] = []
    labels: list[int] = []
    parts = {}
    for part, folder in tops.items():
        check_classes(tree, folder, class_names)
        begin = len(paths)
        for label, name in enumerate(class_names):
            own = PurePosixPath(joined(folder, name))
            members = [path for path in tree.files if own in path.parents]
            if not members:
                raise SpecError(f"{shown(tree, str(own))} has no files", "the images of a class")
            paths += members
            labels += [label] * len(members)
        parts[part] = np.arange(begin, len(paths))
    photos = Photos([str(path) for path in paths], lambda row: tree.read(paths[row]))
    return Source(photos, np.array(labels, np.int32), tuple(class_names), parts)


def beginning(tree: Tree) -> str:
    """The folder that holds the classes or the parts: archives often have another one above."""
    top = "."
    while len(tree.below(top)) == 1 and tree.below(joined(top, tree.below(top)[0])):
        top = joined(top, tree.below(top)[0])
    return top


def joined(folder: str, name: str) -> str:
    return str(PurePosixPath(folder) / name)


def shown(tree: Tree, folder: str) -> str:
    return str(Path(tree.name) / folder)


def check_classes(tree: Tree, folder: str, class_names: list[str]) -> None:
    if differ := sorted(set(tree.below(folder)) ^ set(class_names)):
        raise SpecError(
            f"{shown(tree, folder)} has other classes than the training part: {', '.join(differ)}",
            f"the folders {', '.join(class_names)}",
        )
