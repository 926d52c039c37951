"""Recognise the layout of a folder of images: which folders are classes, and which are parts.

Parts may be above the classes (`train/cat`), below each of them (`cat/train`), or missing. A folder
that could mean two things is refused with the likely meaning; what is left out is noted.
"""

import re
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

# The names of the parts, in TFDS and in people's folders, in any capitalisation.
PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
# The names of the parts that only people use, and the words that they add: `training_set`,
# `seg_test`, `val2017`.
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
    """The class folders of a tree, and notes on how the tree was understood."""

    homes: Homes
    notes: Sequence[str]


def read_layout(tree: "FileTree", has_scenes: bool = False) -> Layout:
    """Return the folders that hold the images of each part and class.

    If the tree `has_scenes`, class folders may all have the same folders in them. Class names are
    in Unicode's composed form (NFC). Raises SpecError if a folder could mean two things, if there
    are fewer than two classes, and if the parts have different classes.
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
    if not has_scenes:
        check_sub_folders(tree, homes)
    return Layout(homes, [f"{tree.name}: {note}" for note in [*notes, *note_strays(tree, homes)]])


def recognise_part(name: str) -> str | None:
    """Return the part that a folder's name means, or None: `Training_Set` is train."""
    plain = re.sub(r"[\W_]+", " ", normalise_unicode(name).lower())
    word = re.sub(rf"^(({FILLER_WORDS})\b *)+|( *({FILLER_WORDS})s?)*( *\d+)? *$", "", plain)
    return next((part for part in PARTS if word in PARTS[part] + COLLOQUIAL[part]), None)


def find_top(tree: "FileTree", top: PurePosixPath) -> PurePosixPath:
    """Return the folder at or below `top` that holds the classes or the parts.

    Archives often wrap that folder in one more, which is passed over.
    """
    while len(below := tree.list_subfolders(top)) == 1 and tree.list_subfolders(top / below[0]):
        top /= below[0]
    return top


def find_parts(tree: "FileTree", folder: PurePosixPath) -> dict[str, list[str]]:
    """Return the folders in `folder` named like parts and not empty: part -> their names."""
    filled = [name for name in tree.list_subfolders(folder) if tree.file_counts[folder / name]]
    parts = {part: [name for name in filled if recognise_part(name) == part] for part in PARTS}
    return {part: names for part, names in parts.items() if names}


def read_parts_above(tree: "FileTree", top: PurePosixPath, parts: Mapping[str, list[str]]) -> Homes:
    """Return the class folders within the folders of parts.

    Raises SpecError if a part has no class folders, or if other classes lie beside the parts.
    """
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
    """Return the folders of parts within the class folders, or none if the classes have no parts.

    Raises SpecError if only some of the classes, or of their images, are divided into parts.
    """
    parts_of_class = {name: find_parts(tree, top / name) for name in tree.list_subfolders(top)}
    if not (
        all(parts_of_class.values()) or any(len(parts) > 1 for parts in parts_of_class.values())
    ):
        return {}
    every = [part for part in PARTS if any(part in parts for parts in parts_of_class.values())]
    divided = [name for name, parts in parts_of_class.items() if parts]
    for name, parts in parts_of_class.items():
        check_part_names(tree, top / name, parts)
        lacks = [part for part in every if part not in parts]
        if lacks or has_images_directly(tree, top / name):
            what = f"no part {' and no part '.join(lacks)}" if lacks else "images beside its parts"
            raise SpecError(
                f"{format_tree_path(tree, top / name)} has {what}, and {format_names(divided)} "
                f"in {format_tree_path(tree, top)} is divided into {' and '.join(every)}",
                EXPECTED,
                f"dataset.folder={format_tree_path(tree, top / divided[0])}, if the classes are "
                "in its parts"
                if len(divided) == 1
                else "the same parts in every class folder, and all images in these",
            )
    return {
        top / name / own: (part, normalise_unicode(name))
        for part in every
        for name, parts in parts_of_class.items()
        for own in parts[part]
    }


def check_part_names(
    tree: "FileTree", folder: PurePosixPath, parts: Mapping[str, list[str]]
) -> None:
    """Raise SpecError if two folders stand for one part."""
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
    """Return the SpecError for folders of images beside the folder of a part."""
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
    """Yield notes on folders that are named like parts and count as classes."""
    for [name, *_] in parts.values():
        yield f"{name} is taken for a class: it has no class folders in it"
    if top.parts and recognise_part(top.name) not in (None, "train"):
        yield f"{top.name} is the only part: all of it counts as training images"


def check_classes(tree: "FileTree", homes: Homes) -> None:
    """Raise SpecError for fewer than two classes, and for parts with different classes."""
    classes: dict[str, set[str]] = {}
    for part, name in homes.values():
        classes.setdefault(part, set()).add(name)
    first, own = next(iter(classes.items()), ("train", set[str]()))
    if len(own) < 2:
        top = next(iter(homes)).parent if homes else find_top(tree, PurePosixPath())
        where = format_tree_path(tree, top)
        images = sum(map(is_image, tree.names.get(top, ())))
        beside = f" and {images:,} images" if images else ""
        raise SpecError(
            f"{where} has {len(own)} class folder{'s' * (len(own) != 1)}{beside}",
            "two or more, each with the images of its class",
            f"a folder for each class in {where}, with its images; or the folder above, if "
            f"{where} is one class of several",
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
    """Raise SpecError if all class folders have the same folders: then they are most likely parts.

    Nothing is raised if one of them has images directly.
    """
    inside = [
        {normalise_unicode(name).lower() for name in tree.list_subfolders(folder)}
        for folder in homes
    ]
    common = sorted(set.intersection(*inside))
    if len(common) < 2 or any(has_images_directly(tree, folder) for folder in homes):
        return
    names = list(dict.fromkeys(name for _, name in homes.values()))
    raise SpecError(
        f"{format_names(names)} in {format_tree_path(tree, next(iter(homes)).parent)} all have the "
        f"folders {format_names(common)}: most likely these are the classes, and "
        f"{format_names(names)} are parts",
        EXPECTED,
        "call the parts train, valid and test; if they are classes, put their images into one "
        "folder each, or keep those of one folder together: dataset.groups=folder",
    )


def note_strays(tree: "FileTree", homes: Homes) -> Iterable[str]:
    """Yield notes on images in no class folder, and on folders within class folders."""
    strays = {
        folder: sum(map(may_be_image, names))
        for folder, names in tree.names.items()
        if not any(own in homes for own in (folder, *folder.parents))
    }
    if any(strays.values()):
        places = [f"{count:,} in {place}" for place, count in strays.items() if count]
        yield f"files in no class folder have no label and are left out: {format_names(places)}"
    if inside := {name for folder in homes for name in tree.list_subfolders(folder)}:
        names = format_names(sorted(inside))
        yield f"images in subfolders of a class folder belong to that class: {names}"


def may_be_image(name: str) -> bool:
    """Return whether a file of this name may be an image: its ending does not say otherwise."""
    kind = guess_type(name, strict=False)[0]
    return kind is None or kind.startswith("image/")


def is_image(name: str) -> bool:
    """Return whether a file has the name of an image."""
    return (guess_type(name, strict=False)[0] or "").startswith("image/")


def has_images_directly(tree: "FileTree", folder: PurePosixPath) -> bool:
    """Return whether a file in a folder, and in none below it, has the name of an image."""
    return any(map(is_image, tree.names[folder]))


def has_images(tree: "FileTree", folder: PurePosixPath) -> bool:
    """Return whether a file below a folder has the name of an image."""
    return any(
        has_images_directly(tree, own) for own in tree.names if folder in (own, *own.parents)
    )


def format_names(names: Sequence[str]) -> str:
    """Return the first ten names on one line, and the number of the others."""
    few = ", ".join(escape_unprintable(name) for name in names[:10])
    return few + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")


def format_tree_path(tree: "FileTree", folder: PurePosixPath) -> str:
    return escape_unprintable(str(Path(tree.name) / folder))
