"""Groups of images that no cut divides, such as the photos of one scene.

A cut assigns whole groups to its sides, in class proportions. Where the sides are of one size, the
algorithm is that of scikit-learn's StratifiedGroupKFold; it also makes sides of different sizes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnntrain.data.sampling import resolve_split_size
from cnntrain.data.source import Source
from cnntrain.errors import SpecError, find_nearest, format_choices

MISSED = 0.1  # a split that misses its size by a larger share of it says so
SHOWN_GROUPS = 3  # named in a warning


@dataclass(frozen=True)
class Groups:
    """The groups of a source's images: `kind` is what `dataset.groups` says.

    `numbers` (N,) has the group of each image, and `names` the name of each group by its number.
    """

    kind: str
    numbers: np.ndarray
    names: Sequence[str]

    def describe(self, rows: np.ndarray) -> str:
        """Return the note on the groups of some images: how many there are, of which sizes."""
        sizes = np.unique(self.numbers[rows], return_counts=True)[1]
        least, most = int(sizes.min()), int(sizes.max())
        span = f"{least:,} to {most:,} images" if least < most else f"{most:,} images each"
        return (
            f"Groups (dataset.groups={self.kind}): {len(sizes):,} of {span}; no cut divides a group"
        )


def find_groups(source: Source, kind: str) -> Groups:
    """Return the groups of a source that `dataset.groups` names.

    An image whose group is "" is a group of its own. Raises SpecError if the source knows no groups
    of this name.
    """
    if not source.groups:
        raise SpecError(
            f"dataset.groups is {kind}, and the data set does not say which images belong together",
            "photos in folders within the class folders (cat/scene_12/1.jpg): folder; or a table: "
            "one of its columns",
            "dataset.groups=null",
        )
    if kind not in source.groups:
        nearest = find_nearest(kind, source.groups) or next(iter(source.groups))
        raise SpecError(
            f"dataset.groups is {kind}",
            format_choices(source.groups, kind),
            f"dataset.groups={nearest}",
        )
    texts = np.array([str(value) for value in source.groups[kind]], object)
    names, numbers = np.unique(texts, return_inverse=True)
    alone = np.flatnonzero(texts == "")
    numbers[alone] = len(names) + np.arange(len(alone))
    return Groups(kind, numbers, [*map(str, names), *[""] * len(alone)])


def assign_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    shares: Sequence[float],
    least: Sequence[int],
    seed: int,
) -> np.ndarray:
    """Return the side (n,) of each image, counted from 0; images of one group are on one side.

    `labels` are class numbers (n,) or, for several labels an image, (n, classes) of 0 and 1, and
    `groups` (n,) integers. Of each class about `shares[s]` go to the side s, and at least
    `least[s]` of the groups with images of it, as far as groups allow. Groups go one by one, those
    whose classes are most unequal first, to the side that makes the shares of all classes most
    even. Equal ones are ordered by `seed`.
    """
    _, group = np.unique(groups, return_inverse=True)
    counts = count_by_group(labels, group)
    sides = np.asarray(shares, float)
    wanted = np.outer(sides * len(sides), counts.sum(axis=0))  # (sides, classes) images, scaled
    have = np.zeros_like(wanted)
    # Groups with images of a class: those that each side lacks, and those that are not assigned.
    lacking = np.repeat(np.asarray(least)[:, np.newaxis], counts.shape[1], axis=1)
    waiting = (counts > 0).sum(axis=0)
    order = np.random.RandomState(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    side_of_group = np.empty(len(counts), int)
    for number in order:
        has_class = counts[number] > 0
        scarce = has_class & (waiting <= lacking.sum(axis=0))
        needed = (lacking[:, scarce] > 0).sum(axis=1)  # (sides,)
        candidates = np.flatnonzero(needed == needed.max())
        side = find_evenest_side(have, counts[number], wanted, sides, candidates)
        side_of_group[number] = side
        have[side] += counts[number]
        lacking[side] = np.maximum(lacking[side] - has_class, 0)
        waiting -= has_class
    return side_of_group[group]


def count_by_group(labels: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return how many images of each class each group has: (groups, classes) float64.

    Classes without an image are left out. `group` (n,) has the number of each image's group. Where
    images have several labels or none, a last column counts the images, to be divided evenly, too.
    """
    if labels.ndim == 2:
        marks = np.column_stack([labels[:, labels.any(axis=0)], np.ones(len(labels), np.uint8)])
        counts = np.zeros((group.max() + 1, marks.shape[1]))
        np.add.at(counts, group, marks)
        return counts
    _, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((group.max() + 1, label.max() + 1))
    np.add.at(counts, (group, label), 1)
    return counts


def iterate_class_masks(labels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each class that has images, and which images (n,) bool are of it."""
    if labels.ndim == 2:
        yield from ((int(c), labels[:, c] > 0) for c in np.flatnonzero(labels.any(axis=0)))
    else:
        yield from ((int(c), labels == c) for c in np.unique(labels))


def find_evenest_side(
    have: np.ndarray,
    group: np.ndarray,
    wanted: np.ndarray,
    shares: np.ndarray,
    candidates: np.ndarray,
) -> int:
    """Return which of the sides `candidates` a group makes the shares of classes most even on.

    `have` and `wanted` are the images (sides, classes) that the sides have and shall have, `group`
    the images (classes,) to be added. Among sides as good, it is the emptiest.
    """
    trials = have + np.eye(len(have))[:, :, np.newaxis] * group  # (trials, sides, classes)
    uneven = (trials / wanted).std(axis=1).mean(axis=1)
    filled = have.sum(axis=1) / shares
    best = int(candidates[0])
    for side in map(int, candidates[1:]):
        is_even = abs(uneven[side] - uneven[best]) <= 1e-8 + 1e-5 * uneven[best]  # as np.isclose
        if uneven[side] < uneven[best] or (is_even and filled[side] < filled[best]):
            best = side
    return best


def split_groups(
    rows: np.ndarray, source: Source, groups: Groups, size: float, seed: int, keep: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows in two, whole groups in class proportions: the rest, and about `size` of them.

    `keep` groups of each class stay where they can. Raises SpecError if a side lacks a class.
    """
    share = resolve_split_size(size, len(rows)) / len(rows)
    own = groups.numbers[rows]
    sides = assign_groups(source.labels[rows], own, (share, 1 - share), (1, keep), seed)
    check_sides(source, groups, rows, sides)
    return rows[sides == 1], rows[sides == 0]


def check_group_counts(source: Source, groups: Groups, rows: np.ndarray, sides: int) -> None:
    """Raise SpecError if the images of a class are in fewer groups than there are sides."""
    for label, mask in iterate_class_masks(source.labels[rows]):
        own = groups.numbers[rows[mask]]
        if (count := len(np.unique(own))) < sides:
            raise SpecError(
                f"the images of {source.class_names[label]} are in {count} "
                f"group{'s' * (count != 1)} ({describe_largest_group(groups, own)}), and the "
                f"images are divided into {sides}",
                f"each class in {sides} groups or more (dataset.groups={groups.kind})",
                "smaller groups, or fewer splits: dataset.valid=0, or fewer dataset.folds",
            )


def check_sides(source: Source, groups: Groups, rows: np.ndarray, sides: np.ndarray) -> None:
    """Raise SpecError if one of the sides (n,) that rows were assigned to lacks a class."""
    every = np.unique(sides)
    for label, mask in iterate_class_masks(source.labels[rows]):
        if len(np.unique(sides[mask])) < len(every):
            raise SpecError(
                f"a split would have no image of {source.class_names[label]}: "
                f"{describe_largest_group(groups, groups.numbers[rows[mask]])}",
                f"groups that can be divided so that each split has every class "
                f"(dataset.groups={groups.kind})",
                "smaller groups, or another dataset.split_seed",
            )


def describe_largest_group(groups: Groups, own: np.ndarray) -> str:
    """Return which of the groups (n,) of a class's images has most of them."""
    numbers, sizes = np.unique(own, return_counts=True)
    largest = int(sizes.argmax())
    name = groups.names[numbers[largest]] or "a group of its own"
    return f"{name} has {sizes[largest]:,} of its {len(own):,} images"


def describe_missed_size(count: int, wanted: int) -> str:
    """Return how a split's size differs from the one asked for, or "" if it is about right."""
    return f"; {count:,} images instead of {wanted:,}" * (abs(count - wanted) > MISSED * wanted)


def warn_about_divided_groups(parts: Mapping[str, np.ndarray], groups: Groups) -> str | None:
    """Warn of groups that have images in more than one of the parts (rows of each by its name)."""
    own = np.concatenate([np.unique(groups.numbers[rows]) for rows in parts.values()])
    numbers, counts = np.unique(own, return_counts=True)
    shared = numbers[counts > 1]
    if not len(shared):
        return None
    few = ", ".join(groups.names[number] for number in shared[:SHOWN_GROUPS])
    are = "groups are" if len(shared) > 1 else "group is"
    return (
        f"Warning: {len(shared):,} {are} in more than one of the parts that the data set has "
        f"(dataset.groups={groups.kind}): {few}{', …' * (len(shared) > SHOWN_GROUPS)}"
    )
