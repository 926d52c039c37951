"""Images in folders, one a class, with train/, valid/ and test/ above or without: a source.

A folder and a zip are both a list of paths and a way to read one.
"""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from cnntrain.datasets.photos import Photos
from cnntrain.datasets.source import Source
from cnntrain.errors import SpecError

# What people call the three parts, whatever the capitals.
PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
# What systems leave in folders; hidden files are left out as well.
LITTER = ("Thumbs.db", "desktop.ini", "__MACOSX")
LARGEST = 2**28  # bytes of a photo; what is larger is a film or an archive, and is not read


@dataclass(frozen=True)
class Tree:
    """What lies below a folder or in a zip, as paths relative to it, sorted."""

    name: str
    files: Sequence[PurePosixPath]
    folders: Sequence[PurePosixPath]
    read: Callable[[PurePosixPath], bytes]

    def below(self, folder: PurePosixPath) -> list[str]:
        """The names of the folders in one of the tree's folders, sorted."""
        return sorted(path.name for path in self.folders if path.parent == folder)


def opened(root: Path) -> Tree:
    """Return what is in a folder or a zip; raise SpecError where it cannot be read."""
    try:
        return of_folder(root) if root.is_dir() else of_zip(root)
    except (OSError, zipfile.BadZipFile) as error:
        where = getattr(error, "filename", None) or root
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            f"{where} cannot be read: {reason}", "a folder or a zip that you may read"
        ) from error


def of_folder(root: Path) -> Tree:
    files, folders = list[PurePosixPath](), list[PurePosixPath]()
    above = (root.resolve(), *root.resolve().parents)
    for path, is_folder in walked(root, above):
        (folders if is_folder else files).append(PurePosixPath(path.relative_to(root).as_posix()))
    return Tree(str(root), sorted(files), sorted(folders), lambda path: content(root / path))


def walked(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """All paths below a folder, and whether each is a folder; a link to one above is a file."""
    for entry in os.scandir(folder):
        if hidden(entry.name):
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


def content(path: Path) -> bytes:
    """The bytes of a file; OSError says in words why it is not read."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise OSError("a link to a folder that it lies in")
    if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
        raise OSError("no ordinary file")
    check_size(found.st_size)
    return path.read_bytes()


def check_size(size: int) -> None:
    if size > LARGEST:
        raise OSError(f"{size / 2**20:,.0f} MiB are too many for a photo")


def of_zip(file: Path) -> Tree:
    archive = zipfile.ZipFile(file)
    # Some programs for Windows write backslashes.
    named = {PurePosixPath(info.filename.replace("\\", "/").lstrip("/")): info
             for info in archive.infolist() if not info.is_dir()}  # fmt: skip
    files = sorted(path for path in named if not any(hidden(part) for part in path.parts))
    folders = {folder for path in files for folder in path.parents} - {PurePosixPath()}

    def read(path: PurePosixPath) -> bytes:
        if named[path].flag_bits & 1:
            raise RuntimeError("encrypted")
        check_size(named[path].file_size)
        return archive.read(named[path])

    return Tree(str(file), files, sorted(folders), read)


def hidden(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def source(tree: Tree) -> Source:
    """Return the images of a tree; class names are the names of the folders, sorted.

    Raises SpecError for fewer than two classes, an empty class, or parts whose classes differ.
    """
    tops = parts(tree)
    names = classes(tree, tops)
    members = {(part, name): list[PurePosixPath]() for part in tops for name in names}
    homes = {tops[part] / name: (part, name) for part, name in members}
    for path in tree.files:
        if home := next((folder for folder in path.parents if folder in homes), None):
            members[homes[home]].append(path)
    for (part, name), own in members.items():
        if not own:
            raise SpecError(f"{shown(tree, tops[part] / name)} has no files", "images of a class")

    paths = [path for own in members.values() for path in own]
    sizes = [len(own) for own in members.values()]
    labels = np.repeat(np.tile(np.arange(len(names), dtype=np.int32), len(tops)), sizes)
    owners = np.repeat([part for part, _ in members], sizes)
    photos = Photos([printable(str(path)) for path in paths], lambda row: tree.read(paths[row]))
    return Source(
        photos,
        labels,
        tuple(printable(name) for name in names),
        {part: np.flatnonzero(owners == part) for part in tops},
    )


def parts(tree: Tree) -> dict[str, PurePosixPath]:
    """The folder of each part that there is; without train/, all is train.

    A folder without folders is no part: there is a data set of buses, trains and ships.
    """
    top = beginning(tree)
    below = [name for name in tree.below(top) if tree.below(top / name)]
    found = {}
    for part, names in PARTS.items():
        if name := next((name for name in below if name.lower() in names), None):
            found[part] = top / name
    return found if "train" in found else {"train": top}


def beginning(tree: Tree) -> PurePosixPath:
    """The folder that holds the classes or the parts: archives often have another one above."""
    top = PurePosixPath()
    while len(below := tree.below(top)) == 1 and tree.below(top / below[0]):
        top /= below[0]
    return top


def classes(tree: Tree, tops: dict[str, PurePosixPath]) -> list[str]:
    """The names of the class folders, the same in all parts."""
    names = tree.below(tops["train"])
    if len(names) < 2:
        raise SpecError(
            f"{shown(tree, tops['train'])} has {len(names)} class folder{'s' * (len(names) != 1)}",
            "two or more, each with the images of its class",
        )
    for top in tops.values():
        if differ := sorted(set(tree.below(top)) ^ set(names)):
            raise SpecError(
                f"{shown(tree, top)} has other classes than the training part: {', '.join(differ)}",
                f"the folders {', '.join(names)}",
            )
    return names


def shown(tree: Tree, folder: PurePosixPath) -> str:
    return printable(str(Path(tree.name) / folder))


def printable(name: str) -> str:
    """A file's name on one line: what is not a letter, a sign or a space is escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)
