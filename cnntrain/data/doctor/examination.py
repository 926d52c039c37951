"""What the doctor finds in images alone: near-duplicates, one colour, blurred and tiny ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cnntrain.data.doctor.looks import look_at_images
from cnntrain.data.doctor.near_duplicates import NearPairs, choose_tree, find_near_pairs
from cnntrain.data.source import Splits
from cnntrain.data.verify import Occurrence, Verification, hash_examples, locate_occurrence

# What `data verify` looks for, and its thresholds: None does not look for it.
# docs/data_doctor.md says how they were chosen.
THRESHOLDS: Mapping[str, float] = {"near": 0.93, "flat": 4, "blur": 15, "tiny": 32}
HASH_DISTANCE = 8  # bits of 64: a pair whose hashes differ more is never compared
# From what typical side on, in pixels, a search makes sense. Digits of 28x28 pixels are alike by
# nature; small images, enlarged or not, are never sharp; and where all are tiny, none is.
LEAST_SIDES = {"near": 32, "blur": 64, "tiny": 64}
WORDS = {"near": "near-duplicates", "flat": "images of one colour", "blur": "blurred images",
         "tiny": "tiny images"}  # fmt: skip


@dataclass(frozen=True)
class OddImage:
    """An image that is of one colour, blurred or tiny, and the value that says so."""

    place: Occurrence
    value: float


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that are nearly the same; `likeness` is the correlation of small grey copies.

    `mirrored` says that the second is like the mirror image of the first.
    """

    first: Occurrence
    second: Occurrence
    likeness: float
    mirrored: bool

    @property
    def is_leak(self) -> bool:
        """Whether the two are in different splits."""
        return self.first.split != self.second.split


@dataclass(frozen=True)
class Examination:
    """What was found in the images of all splits.

    `near_duplicates` are pairs, those between two splits first, as few as connect all images that
    are nearly the same. `thresholds` has what was looked for, `notes` say what was not, and why.
    `stored_size` is the median height and width.
    """

    near_duplicates: list[NearDuplicate]
    one_colour: list[OddImage]
    blurred: list[OddImage]
    tiny: list[OddImage]
    thresholds: dict[str, float | None]
    notes: list[str]
    stored_size: tuple[int, int] | None = None

    @property
    def near_leaks(self) -> list[NearDuplicate]:
        """The pairs of images of two splits that are nearly the same."""
        return [pair for pair in self.near_duplicates if pair.is_leak]

    def as_json(self) -> dict[str, Any]:
        odd = {"one_colour": self.one_colour, "blurred": self.blurred, "tiny": self.tiny}
        return {
            "near_duplicates": [asdict(pair) for pair in self.near_duplicates],
            **{key: [{**asdict(o.place), "value": o.value} for o in odd[key]] for key in odd},
            "thresholds": self.thresholds,
            "examination_notes": self.notes,
        }


def examine_splits(splits: Splits, asked: Mapping[str, float | None]) -> Examination:
    """Return what is odd about the images of the splits, each of which is read once.

    `asked` has the thresholds that the user sets, of those in THRESHOLDS; None switches one off.
    """
    looks = look_at_images(splits)
    thresholds, notes = choose_thresholds(asked, looks.typical_side)
    locate = Locator(splits)
    even, tree = np.nan_to_num(looks.spread) < (thresholds["flat"] or 0), None
    if (likeness := thresholds["near"]) is not None:
        usable = ~even & ~np.isnan(looks.spread)
        near = find_near_pairs(looks.copies, usable, HASH_DISTANCE, likeness)
        if near is None:
            notes.append("Near-duplicates are not told: the images of this kind are all alike")
            thresholds["near"] = None
        else:
            tree = choose_tree(near, len(usable), number_contents(splits))
    even &= ~np.isnan(looks.spread)
    shorter = looks.sizes.min(axis=1)
    is_tiny = (shorter > 0) & (shorter < (thresholds["tiny"] or 0))
    is_blurred = (looks.sharpness < (thresholds["blur"] or 0)) & ~even & ~is_tiny
    return Examination(
        [] if tree is None else list_near_duplicates(tree, locate),
        list_odd_images(even, looks.spread, locate),
        list_odd_images(is_blurred, looks.sharpness, locate),
        list_odd_images(is_tiny, shorter, locate),
        thresholds,
        notes,
        looks.typical_size,
    )


def choose_thresholds(
    asked: Mapping[str, float | None], side: float
) -> tuple[dict[str, float | None], list[str]]:
    """Return the thresholds to use for images of a typical `side`, and notes on what is left out.

    What the user asks for is looked for in images of any size.
    """
    thresholds: dict[str, float | None] = {**THRESHOLDS, **asked}
    left_out = [key for key, least in LEAST_SIDES.items() if key not in asked and side < least]
    for key in left_out:
        thresholds[key] = None
    if not left_out:
        return thresholds, []
    words = " and ".join(WORDS[key] for key in left_out)
    flags = " ".join(f"--{key} {THRESHOLDS[key]:g}" for key in left_out)
    why = f"the images are small, {side:g} pixels"
    return thresholds, [f"Not looked for, because {why}: {words} ({flags} does)"]


class Locator:
    """Occurrences of the images of splits by their number, counted through all splits."""

    def __init__(self, splits: Splits):
        self.splits = splits
        self.names = [name for name, _ in splits.items()]
        self.ends = np.cumsum([len(part) for _, part in splits.items()])

    def find_place(self, number: int) -> tuple[str, int]:
        """Return the split of an image, and its index there."""
        which = int(np.searchsorted(self.ends, number, side="right"))
        return self.names[which], int(number - (self.ends[which - 1] if which else 0))

    def __call__(self, number: int) -> Occurrence:
        return locate_occurrence(self.splits, *self.find_place(number))


def number_contents(splits: Splits) -> np.ndarray:
    """Return a number (n,) for the content of each image: the same for the same bytes."""
    digests = [hash_examples(part, splits.digests) for _, part in splits.items()]
    return np.unique(np.concatenate(digests), return_inverse=True)[1]


def list_near_duplicates(near: NearPairs, locate: Locator) -> list[NearDuplicate]:
    """Return pairs as near-duplicates, those between two splits first, then the likest first."""
    pairs = [
        NearDuplicate(locate(int(first)), locate(int(second)), round(float(likeness), 4), bool(m))
        for first, second, likeness, m in zip(
            near.first, near.second, near.likeness, near.mirrored, strict=True
        )
    ]
    return sorted(pairs, key=lambda pair: not pair.is_leak)


def list_odd_images(mask: np.ndarray, values: np.ndarray, locate: Locator) -> list[OddImage]:
    """Return the images where `mask` (n,) is true with their values, the lowest first."""
    numbers = np.flatnonzero(mask)
    numbers = numbers[np.argsort(values[numbers], kind="stable")]
    return [OddImage(locate(int(n)), round(float(values[n]), 2)) for n in numbers]


def list_label_conflicts(
    verification: Verification, examination: Examination
) -> list[NearDuplicate]:
    """Return two of each image with more than one label, then near-duplicates with different ones.

    The same bytes have a likeness of 1.
    """
    same = [
        NearDuplicate(places[0], next(p for p in places if p.label != places[0].label), 1.0, False)
        for places in verification.label_conflicts
    ]
    near = [p for p in examination.near_duplicates if p.first.label != p.second.label]
    return [*same, *near]


def list_absent_faults(examination: Examination) -> list[str]:
    """Return in words what was looked for and is not there."""
    found = {"near": examination.near_duplicates, "flat": examination.one_colour,
             "blur": examination.blurred, "tiny": examination.tiny}  # fmt: skip
    return [
        WORDS[key]
        for key, images in found.items()
        if examination.thresholds.get(key) is not None and not images
    ]


def find_odd_images(examination: Examination) -> Sequence[tuple[str, Sequence[OddImage]]]:
    """Return the odd images by what they are, in words."""
    return [("of one colour", examination.one_colour), ("blurred", examination.blurred),
            ("tiny", examination.tiny)]  # fmt: skip
