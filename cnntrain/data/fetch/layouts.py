"""How a folder of images is laid out: which folders are classes, and which are parts.

Parts may be above the classes (`train/cat`), below each of them (`cat/train`), or not there. What
could mean two things is refused with the likely meaning; what is left out is said in a note.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.spec.knobs import normalise_unicode

if TYPE_CHECKING:
    from cnntrain.data.fetch.folders import FileTree


Homes = Mapping[PurePosixPath, tuple[str, str]]  # class folder -> its part and its class

# What the parts are called, by TFDS and by people, whatever the capitals.
PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
# What only people call them, and what they write beside it: `training_set`, `seg_test`, `val2017`.
COLLOQUIAL = {
    "train": ("trn",),
    "valid": ("validate", "eval", "evaluation", "dev"),
    "test": ("tst",),
}
FILLER_WORDS = "dataset|data|set|images|image|imgs|img|photos|pictures|split|part|folder|seg"
EXPECTED = (
    "a folder for each class; or train, valid and test, each with the same class folders; or "
    "these three below each class"
)


@dataclass(frozen=True)
class Layout:
    """The class folders of a tree, and what people should know of how it was understood."""

    homes: Homes
    notes: Sequence[str]


def read_layout(tree: "FileTree") -> Layout:
    """Return where the images of each part and class are.

    Class names are in Unicode's composed form (NFC). Raises SpecError where a folder could mean
    two things, where there are fewer than two classes, and for parts whose classes differ.
    """
    top = find_top(tree, PurePosixPath())
    parts = find_parts(tree, top)
    if len(parts) > 1 or any(tree.list_subfolders(top / name) for [name, *_] in parts.values()):
        homes, notes = read_parts_above(tree, top, parts), []
    elif below := read_parts_below(tree, top):
        homes, notes = below, ["the parts are below each class folder"]
    else:
        homes = {
            top / name: ("train", normalise_unicode(name)) for name in tree.list_subfolders(top)
        }
        notes = list(note_assumed_classes(top, parts))
    check_classes(tree, homes)
    check_sub_folders(tree, homes)
    return Layout(homes, [f"{tree.name}: {note}" for note in [*notes, *note_strays(tree, homes)]])


def recognise_part(name: str) -> str | None:
    """The part that a folder's name stands for: `Training_Set` is train."""
    plain = re.sub(r"[\W_]+", " ", normalise_unicode(name).lower())
    word = re.sub(rf"^(({FILLER_WORDS})\b *)+|( *({FILLER_WORDS})s?)*( *\d+)? *$", "", plain)
    return next((part for part in PARTS if word in PARTS[part] + COLLOQUIAL[part]), None)


def find_top(tree: "FileTree", top: PurePosixPath) -> PurePosixPath:
    """The folder that holds the classes or the parts: archives often have another one above."""
    while len(below := tree.list_subfolders(top)) == 1 and tree.list_subfolders(top / below[0]):
        top /= below[0]
    return top


def find_parts(tree: "FileTree", folder: PurePosixPath) -> dict[str, list[str]]:
    """The folders in a folder that are called like parts, and are not empty: part -> names."""
    there = [name for name in tree.list_subfolders(folder) if tree.file_counts[folder / name]]
    found = {part: [name for name in there if recognise_part(name) == part] for part in PARTS}
    return {part: names for part, names in found.items() if names}


def read_parts_above(tree: "FileTree", top: PurePosixPath, parts: Mapping[str, list[str]]) -> Homes:
    """The class folders in the folders of parts, beside which there must be no other classes."""
    check_part_names(tree, top, parts)
    names = {part: name for part, [name] in parts.items()}
    labelled = {
        part: top / name for part, name in names.items() if tree.list_subfolders(top / name)
    }
    bare = [part for part in names if part not in labelled]
    if bare and (bare[0] == "train" or not labelled):
        raise SpecError(
            f"{format_tree_path(tree, top / names[bare[0]])} has images and no class folders",
            EXPECTED,
        )
    others = [
        n
        for n in tree.list_subfolders(top)
        if n not in names.values() and has_images(tree, top / n)
    ]
    if others and (len(names) == 1 or "train" not in names):
        raise make_mixed_error(tree, top, others, names)
    tops = {part: find_top(tree, folder) for part, folder in labelled.items()}
    return {
        own / name: (part, normalise_unicode(name))
        for part, own in tops.items()
        for name in tree.list_subfolders(own)
    }


def read_parts_below(tree: "FileTree", top: PurePosixPath) -> Homes:
    """The folders of parts in the class folders; none where all in these is of the class."""
    found = {name: find_parts(tree, top / name) for name in tree.list_subfolders(top)}
    if not (all(found.values()) or any(len(parts) > 1 for parts in found.values())):
        return {}
    every = [part for part in PARTS if any(part in parts for parts in found.values())]
    loose = {path.parent for path in tree.files if is_image(path)}
    whole = [name for name, parts in found.items() if parts]
    for name, parts in found.items():
        check_part_names(tree, top / name, parts)
        lacks = [part for part in every if part not in parts]
        if lacks or top / name in loose:
            what = f"no part {' and no part '.join(lacks)}" if lacks else "images beside its parts"
            raise SpecError(
                f"{format_tree_path(tree, top / name)} has {what}, and {format_names(whole)} "
                f"in {format_tree_path(tree, top)} is divided into {' and '.join(every)}",
                EXPECTED,
                f"dataset.folder={format_tree_path(tree, top / whole[0])}, if the classes are "
                "in its parts"
                if len(whole) == 1
                else "the same parts in every class folder, and all images in these",
            )
    return {
        top / name / own: (part, normalise_unicode(name))
        for part in every
        for name, parts in found.items()
        for own in parts[part]
    }


def check_part_names(
    tree: "FileTree", folder: PurePosixPath, parts: Mapping[str, list[str]]
) -> None:
    """Refuse two folders for one part."""
    for part, names in parts.items():
        if len(names) > 1:
            raise SpecError(
                f"{format_names(names)} in {format_tree_path(tree, folder)} both mean the "
                f"{part} part",
                "one folder for each of train, valid and test",
                "another name for one of them, or all their images in one",
            )


def make_mixed_error(
    tree: "FileTree", top: PurePosixPath, others: Sequence[str], names: Mapping[str, str]
) -> SpecError:
    """The answer to folders with images beside the folder of a part."""
    part, name = next(iter(names.items()))
    alike = set(tree.list_subfolders(top / others[0])) & set(tree.list_subfolders(top / name))
    free = " or ".join(part for part in PARTS if part not in names)
    likely = (
        f"call {others[0]} {free}, if it is a part"
        if alike
        else f"dataset.folder={format_tree_path(tree, top / name)}, if {format_names(others)} do "
        "not belong to it"
        if part == "train"
        else f"move {format_names(others)} into a folder train"
    )
    return SpecError(
        f"{format_tree_path(tree, top)} has {name}, which looks like the {part} part, beside "
        f"{format_names(others)}",
        EXPECTED,
        likely,
    )


def note_assumed_classes(top: PurePosixPath, parts: Mapping[str, list[str]]) -> Iterable[str]:
    """What to say where parts were looked for and classes found."""
    for [name, *_] in parts.values():
        yield f"{name} is taken for a class: it has no class folders in it"
    if top.parts and recognise_part(top.name) not in (None, "train"):
        yield f"{top.name} is the only part: all of it counts as training images"


def check_classes(tree: "FileTree", homes: Homes) -> None:
    """Refuse fewer than two classes, and parts with different ones."""
    classes: dict[str, set[str]] = {}
    for part, name in homes.values():
        classes.setdefault(part, set()).add(name)
    first, own = next(iter(classes.items()), ("train", set[str]()))
    if len(own) < 2:
        where = next(iter(homes)).parent if homes else find_top(tree, PurePosixPath())
        raise SpecError(
            f"{format_tree_path(tree, where)} has {len(own)} class folder{'s' * (len(own) != 1)}",
            "two or more, each with the images of its class",
        )
    for folder, (part, _) in homes.items():
        if differ := sorted(classes[part] ^ own):
            others = "the training part" if first == "train" else first
            alone = f"dataset.folder={format_tree_path(tree, next(iter(homes)).parent)}"
            raise SpecError(
                f"{format_tree_path(tree, folder.parent)} has other classes than {others}: "
                f"{format_names(differ)}",
                f"the folders {format_names(sorted(own))}",
                None if classes[part] & own else f"{alone}, if these have no label",
            )


def check_sub_folders(tree: "FileTree", homes: Homes) -> None:
    """Refuse classes that all have the same folders in them: they are rather parts."""
    inside = [
        {normalise_unicode(name).lower() for name in tree.list_subfolders(folder)}
        for folder in homes
    ]
    common = sorted(set.intersection(*inside))
    if len(common) < 2 or any(path.parent in homes and is_image(path) for path in tree.files):
        return
    names = list(dict.fromkeys(name for _, name in homes.values()))
    raise SpecError(
        f"{format_names(names)} in {format_tree_path(tree, next(iter(homes)).parent)} all "
        "have the folders "
        ""
        f"{format_names(common)}: most likely these are the classes, and "
        f"{format_names(names)} are parts",
        EXPECTED,
        "call the parts train, valid and test; if they are classes, put their images into one "
        "folder each",
    )


def note_strays(tree: "FileTree", homes: Homes) -> Iterable[str]:
    """What to say of images in no class folder, and of folders in class folders."""
    strays = Counter(path.parent for path in tree.files if is_stray(path, homes))
    if strays:
        places = [f"{count:,} in {place}" for place, count in strays.items()]
        yield f"files in no class folder have no label and are left out: {format_names(places)}"
    if inside := {name for folder in homes for name in tree.list_subfolders(folder)}:
        yield f"folders in a class folder count as of the class: {format_names(sorted(inside))}"


def is_stray(path: PurePosixPath, homes: Homes) -> bool:
    """Whether a file that may be an image lies in no class folder."""
    if any(folder in homes for folder in path.parents):
        return False
    kind = guess_type(path.name, strict=False)[0]
    return kind is None or kind.startswith("image/")


def is_image(path: PurePosixPath) -> bool:
    """Whether a file is called like an image."""
    return (guess_type(path.name, strict=False)[0] or "").startswith("image/")


def has_images(tree: "FileTree", folder: PurePosixPath) -> bool:
    """Whether a file below a folder is called like an image."""
    return any(folder in path.parents and is_image(path) for path in tree.files)


def format_names(names: Sequence[str]) -> str:
    """The first names, on one line."""
    few = ", ".join(escape_unprintable(name) for name in names[:10])
    return few + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")


def format_tree_path(tree: "FileTree", folder: PurePosixPath) -> str:
    return escape_unprintable(str(Path(tree.name) / folder))
