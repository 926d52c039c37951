"""Rows chosen from a split: its first ones, or some in class proportions; whether that can be."""

import re
from collections.abc import Mapping

import numpy as np
from sklearn.model_selection import train_test_split

from cnntrain.data.labels import count_labels
from cnntrain.data.source import Source
from cnntrain.errors import SpecError


def resolve_split_size(size: float, total: int) -> int:
    """Return how many images a size stands for: a fraction of `total` if below 1, else a count."""
    return round(size * total) if size < 1 else int(size)


def split_first(
    rows: np.ndarray, labels: np.ndarray, size: float, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows in two: the rest, and the first `size` of them (see `resolve_split_size`).

    Raises SpecError if one side lacks a class, as where images are sorted by their class.
    """
    count = resolve_split_size(size, len(rows))
    sides = [count_classes(labels[part]) for part in (slice(count), slice(count, None))]
    if min(sides) < (total := count_classes(labels)):
        raise SpecError(
            f"dataset.cut is first, and the first {count:,} images, which are for {name}, have "
            f"{sides[0]} of {total} classes, the others {sides[1]}",
            "images of each class on both sides of a cut",
            "dataset.cut=stratified",
        )
    return rows[count:], rows[:count]


def count_classes(labels: np.ndarray) -> int:
    """Return how many classes labels (n,), or (n, classes) of 0 and 1, have an image of."""
    return int(labels.any(axis=0).sum()) if labels.ndim == 2 else len(np.unique(labels))


def split_stratified(
    rows: np.ndarray, labels: np.ndarray, size: float, seed: int, keep: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows in two, in class proportions: the rest, and `size`, a share if below 1.

    Takes at least one image of each class, and leaves at least `keep` of each.
    """
    rest, taken = train_test_split(
        np.arange(len(rows)),
        test_size=resolve_split_size(size, len(rows)),
        random_state=seed,
        stratify=labels,
    )
    sizes = np.bincount(labels)
    chosen = np.isin(np.arange(len(rows)), taken)
    order = np.concatenate([taken, rest])
    chosen = balance_choice(
        chosen, labels, np.minimum(sizes, 1), np.maximum(sizes - keep, 0), order
    )
    return rows[~chosen], rows[chosen]


def balance_choice(
    chosen: np.ndarray, labels: np.ndarray, least: np.ndarray, most: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Return a mask (N,) of as many examples as `chosen`, with `least` to `most` of each class.

    `least` and `most` are (classes,). The mask differs from `chosen` only as far as it must: the
    first of its class in `order` is added, and the last is removed from the class with the largest
    surplus.
    """
    chosen = chosen.copy()
    counts = np.bincount(labels[chosen], minlength=len(least))

    def move(label: int, into: bool) -> None:
        members = order[(labels[order] == label) & (chosen[order] != into)]
        chosen[members[0 if into else -1]] = into
        counts[label] += 1 if into else -1

    while (lacks := counts < least).any() or (counts > most).any():
        if lacks.any():
            move(int(lacks.argmax()), True)
            move(int((counts - least).argmax()), False)
        else:
            move(int((counts - most).argmax()), False)
            move(int((most - counts).argmax()), True)
    return chosen


def sample_rows(
    rows: np.ndarray, labels: np.ndarray, count: int, seed: int, knob: str
) -> np.ndarray:
    """Return at most `count` of the rows, in class proportions and at least one of each class.

    Raises SpecError, which names the setting `knob`, if there are more classes than that.
    """
    if count >= len(rows):
        return rows
    own = labels[rows]
    classes = np.unique(own)
    if count < len(classes):
        raise SpecError(
            f"dataset.{knob} leaves {count} images and there are {len(classes)} classes",
            "at least one image of each class",
            f"dataset.limit={10 * len(classes)}" if knob == "limit" else "a larger share",
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    share = np.empty(len(order))  # how much of its class comes before an example
    for label in classes:
        members = order[own[order] == label]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.argsort(share, kind="stable")
    sizes = np.bincount(own)
    chosen = np.isin(np.arange(len(rows)), order[:count])
    return rows[balance_choice(chosen, own, np.minimum(sizes, 1), sizes, order)]


def check_cuts(source: Source, wanted: Mapping[str, float]) -> None:
    """Raise SpecError if cuts cannot leave an image of each class on both sides.

    `wanted` are the sizes of the splits to cut, by name; the error proposes sizes that work.
    """
    labels = source.labels[source.parts["train"]]
    sizes = count_labels(labels, len(source.class_names))
    classes = np.flatnonzero(sizes)
    sizes = sizes[classes]
    if wanted and sizes.min() <= len(wanted):
        rare = [source.class_names[label] for label in classes[sizes <= len(wanted)]]
        common = [source.class_names[label] for label in classes[sizes > len(wanted)]]
        spelled = f"dataset.classes=[{','.join(common)}]"
        raise SpecError(
            f"{rare[0]} has {sizes[sizes <= len(wanted)][0]} of the images that "
            f"{' and '.join(wanted)} are cut from",
            f"at least one image of each class on both sides of a cut: {1 + len(wanted)} or more",
            spelled
            if len(common) > 1 and re.fullmatch(r"dataset\.classes=\[[A-Za-z_,]{4,200}\]", spelled)
            else f"more images of {', '.join(rare[:5])}, or dataset.classes=[…] without them",
        )
    least = 1 if labels.ndim == 2 else len(classes)  # an image may show several classes
    left, told, possible, fits = len(labels), list[str](), dict[str, int](), True
    for number, (name, share) in enumerate(wanted.items(), 1):
        count, keep = resolve_split_size(share, left), (1 + len(wanted) - number) * least
        possible[name] = int(np.clip(count, least, left - keep))
        told.append(f"{count} of {left} images for the {name} split")
        fits &= count == possible[name]
        left -= possible[name]
    if not fits:
        raise SpecError(
            f"{', '.join(told)}, {len(classes)} classes",
            "at least one image of each class on both sides of a cut",
            " ".join(f"dataset.{name}={count}" for name, count in possible.items()),
        )
