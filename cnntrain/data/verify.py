"""Verify the splits of a data set: count classes, list broken files, find duplicate images."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cnntrain.data.labels import count_labels, format_label
from cnntrain.data.source import Examples, Splits


@dataclass(frozen=True)
class Occurrence:
    """One place where an image occurs: the example `index` of a split, of the class `label`."""

    split: str
    index: int
    label: str
    name: str | None  # of its file

    def __str__(self) -> str:
        return f"{self.split} {self.name or f'image {self.index}'} ({self.label})"


@dataclass(frozen=True)
class Verification:
    """What `verify_splits` found in the splits of a data set.

    `images` counts those of each split, `classes` those of each class in it, `broken` lists the
    files that are no images with the reason, `repeated_images` lists the occurrences of each image
    that occurs more than once.
    """

    images: dict[str, int]
    classes: dict[str, dict[str, int]]
    origin: dict[str, str]
    broken: list[tuple[str, str]]
    repeated_images: list[list[Occurrence]]

    @property
    def leaks(self) -> list[list[Occurrence]]:
        """The images that occur in more than one split, where they spoil the test."""
        return [
            places for places in self.repeated_images if len({place.split for place in places}) > 1
        ]

    @property
    def duplicates(self) -> list[list[Occurrence]]:
        """The images that occur more than once in one split and in no other."""
        return [
            places for places in self.repeated_images if len({place.split for place in places}) == 1
        ]

    @property
    def label_conflicts(self) -> list[list[Occurrence]]:
        """The images that occur under more than one class."""
        return [
            places for places in self.repeated_images if len({place.label for place in places}) > 1
        ]

    @property
    def is_clean(self) -> bool:
        """Whether no file is broken and no image leaks; doubles and label conflicts may exist."""
        return not self.broken and not self.leaks

    def as_json(self) -> dict[str, Any]:
        return {
            "well": self.is_clean,
            "splits": {
                split: {"images": self.images[split], "origin": self.origin[split],
                        "classes": counts}
                for split, counts in self.classes.items()
            },
            "broken": [{"file": name, "reason": why} for name, why in self.broken],
            "leaks": [[asdict(place) for place in places] for places in self.leaks],
            "duplicates": [[asdict(place) for place in places] for places in self.duplicates],
            "label_conflicts": [[asdict(place) for place in places]
                                for places in self.label_conflicts],
        }  # fmt: skip


def verify_splits(splits: Splits) -> Verification:
    """Return the class counts, broken files and duplicate images of the splits.

    Two images are equal if their files are, or their pixels where there are no files. Making the
    splits has decoded every photo, so that the broken ones are known.
    """
    return Verification(
        {split: len(part) for split, part in splits.items()},
        {split: count_classes(part, splits.class_names) for split, part in splits.items()},
        splits.origin,
        list(splits.skipped),
        [
            [locate_occurrence(splits, *place) for place in places]
            for places in find_occurrences(splits)
        ],
    )


def count_classes(part: Examples, class_names: tuple[str, ...]) -> dict[str, int]:
    """Return the number of images of each class in a split, by the class's name."""
    counts = count_labels(part.labels, len(class_names))
    return dict(zip(class_names, counts.tolist(), strict=True))


def find_occurrences(splits: Splits) -> Iterator[list[tuple[str, int]]]:
    """Yield, for every image that occurs repeatedly, the split and index of each occurrence."""
    parts = {split: hash_examples(part, splits.digests) for split, part in splits.items()}
    origin = [split for split, digests in parts.items() for _ in digests]
    index = np.concatenate([np.arange(len(digests)) for digests in parts.values()])
    all_digests = np.concatenate(list(parts.values()))
    _, which, counts = np.unique(all_digests, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[which] > 1)
    groups: dict[int, list[tuple[str, int]]] = {}
    for number in several:
        groups.setdefault(which[number], []).append((origin[number], int(index[number])))
    yield from groups.values()


def hash_examples(part: Examples, digests: np.ndarray | None) -> np.ndarray:
    """Return the sha256 (n,) of each example's file, or of its pixels if `digests` is None.

    `digests` (N,) are those of the files of the whole store.
    """
    if digests is not None:
        return digests[part.locate_rows(np.arange(len(part)))].view("S32")
    hashes = [
        hashlib.sha256(image.tobytes()).digest()
        for images in part.iterate_images()
        for image in images
    ]
    return np.array(hashes, "S32")


def locate_occurrence(splits: Splits, split: str, index: int) -> Occurrence:
    """Return the occurrence that is the example `index` of a split."""
    part = dict(splits.items())[split]
    name = (
        splits.names[part.locate_rows(np.array([index]))[0]] if splits.names is not None else None
    )
    return Occurrence(split, index, format_label(part.labels[index], splits.class_names), name)
