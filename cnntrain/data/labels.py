"""Select and group classes, and add label noise: pure functions without pixels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cnntrain.data.source import Examples, Source, Splits
from cnntrain.errors import SpecError, find_nearest
from cnntrain.spec.knobs import Name, normalise_unicode
from cnntrain.spec.spec import Spec

# Between the labels of an image that has several, and what stands for none of them.
SEPARATOR, NO_LABEL = "|", "none"
# From this share of the images on, accuracy says little about the other classes.
COMMONEST_SHARE = 0.9
# A class that is so many times rarer than the commonest weighs next to nothing in the loss.
RARE_FACTOR = 20


def count_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the number of images of each class (classes,), for labels (N,) or (N, classes)."""
    if labels.ndim == 2:
        return labels.sum(axis=0, dtype=np.int64)
    return np.bincount(labels, minlength=num_classes)


def format_label(label: np.ndarray, class_names: Sequence[str]) -> str:
    """Return the class of an image, or all classes that it has, joined by SEPARATOR.

    `label` is a class number, or (classes,) of 0 and 1.
    """
    if np.ndim(label) == 0:
        return class_names[int(label)]
    return SEPARATOR.join(class_names[n] for n in np.flatnonzero(label).tolist()) or NO_LABEL


def iterate_classes(labels: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each class that `rows` have, with those of the rows that are of it.

    `labels` are those of the source, (N,) or (N, classes).
    """
    own = labels[rows]
    if labels.ndim == 2:
        for label in np.flatnonzero(own.any(axis=0)):
            yield int(label), rows[own[:, label] > 0]
    else:
        for label in np.unique(own):
            yield int(label), rows[own == label]


def select_classes(source: Source, wanted: Sequence[Name] | None) -> Source:
    """Return the source with only the classes `wanted`, in this order; None keeps all.

    Images of other classes are left out. Where an image may have several labels it only loses
    those of other classes, and stays, because it shows what an image without the classes looks
    like. Raises SpecError for a name that is no class or comes twice, and for fewer than two names.
    """
    if wanted is None:
        return source
    classes = [normalise_unicode(name) for name in wanted]
    check_class_names(classes, source.class_names, "dataset.classes")
    if len(classes) < 2:
        raise SpecError(f"dataset.classes is {classes}", "two classes or more")
    if source.labels.ndim == 2:
        columns = [source.class_names.index(name) for name in classes]
        return replace(source, labels=source.labels[:, columns], class_names=tuple(classes))
    new_labels = np.array(
        [classes.index(name) if name in classes else -1 for name in source.class_names], np.int32
    )
    labels = new_labels[source.labels]
    return replace(source, labels=labels, class_names=tuple(classes)).keep_examples(labels >= 0)


def group_classes(
    class_names: Sequence[str], label_map: str | Mapping[Name, Sequence[Name]]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the group of each class (classes,) int32, and the names of the groups.

    `label_map` is `none`, `odd_even` (which groups digits: odd is 0, even is 1), or the classes of
    each group by its name. Raises SpecError unless every class is in exactly one of two groups or
    more.
    """
    if label_map == "none":
        return np.arange(len(class_names), dtype=np.int32), tuple(class_names)
    if isinstance(label_map, str):
        return group_classes(class_names, group_odd_even(class_names))
    members = [normalise_unicode(name) for group in label_map.values() for name in group]
    check_class_names(members, class_names, "dataset.label_map")
    if ungrouped := [name for name in class_names if name not in members]:
        raise SpecError(
            f"dataset.label_map has no group for {', '.join(ungrouped[:5])}",
            "every class in one group",
            "dataset.classes=[…] leaves classes out",
        )
    if len(label_map) < 2:
        raise SpecError(f"dataset.label_map has {len(label_map)} group", "two groups or more")
    groups = {
        normalise_unicode(name): index
        for index, group in enumerate(label_map.values())
        for name in group
    }
    return np.array([groups[name] for name in class_names], np.int32), tuple(
        map(normalise_unicode, label_map)
    )


def group_odd_even(class_names: Sequence[str]) -> dict[Name, Sequence[Name]]:
    """Return the odd and the even class names; raise SpecError if one is no number."""
    if not all(name.isdigit() for name in class_names):
        raise SpecError(
            f"dataset.label_map is odd_even and the classes are {', '.join(class_names[:5])}, …",
            "classes that are numbers",
            "dataset=digits or dataset=mnist",
        )
    odd = [name for name in class_names if int(name) % 2]
    return {"odd": odd, "even": [name for name in class_names if name not in odd]}


def check_class_names(wanted: Sequence[str], class_names: Sequence[str], where: str) -> None:
    """Raise SpecError if a name in `wanted` is no class, or comes twice."""
    for name in wanted:
        if name not in class_names:
            close = find_nearest(name, class_names)
            few = ", ".join(class_names[:20]) + (", …" if len(class_names) > 20 else "")
            raise SpecError(f"{where} has {name}", f"classes: {few}", close)
        if list(wanted).count(name) > 1:
            raise SpecError(f"{where} has {name} twice", "each class once")


def list_label_notes(spec: Spec, splits: Splits, drawn: int) -> list[str]:
    """Return what users should know of classes: how often each comes, and what none can judge.

    `drawn` are the images of an epoch.
    """
    balance = describe_balance(spec, splits.train, splits.class_names, drawn)
    notes = [] if balance is None else [balance]
    if not splits.has_several_labels:
        return notes
    for part, examples in splits.items():
        counts = count_labels(examples.labels, len(splits.class_names))
        missing = [splits.class_names[n] for n in np.flatnonzero(counts == 0)]
        if missing and part != "train":
            named = ", ".join(missing[:5]) + " …" * (len(missing) > 5)
            notes.append(f"Warning: {part} has no image of {named}, and so cannot judge it")
    return notes


def describe_balance(
    spec: Spec, train: Examples, class_names: Sequence[str], drawn: int
) -> str | None:
    """Return what users should know of how often a run sees each class, or None.

    `drawn` are the images of an epoch, of those that train.
    """
    if spec.dataset["sampling"] == "balanced":
        counts = count_labels(train.labels, len(class_names)).tolist()
        return describe_balanced_sampling(counts, class_names, drawn)
    return warn_about_imbalance(train, class_names) if leaves_imbalance(spec) else None


def leaves_imbalance(spec: Spec) -> bool:
    """Return whether a run does nothing about rare classes: neither weights nor sampling."""
    return spec.loss.class_weights == "none" and spec.dataset["sampling"] != "balanced"


def warn_about_imbalance(train: Examples, class_names: Sequence[str]) -> str | None:
    """Return a warning if some classes of the training images may never be learnt, or None."""
    counts = count_labels(train.labels, len(class_names)).tolist()
    if train.has_several_labels:
        return describe_rare_classes(counts, len(train), class_names)
    return describe_imbalance(counts, class_names)


def describe_imbalance(counts: Sequence[int], class_names: Sequence[str]) -> str | None:
    """Return a warning that some classes may never be learnt, or None.

    `counts` are the training images of each class. The warning comes if always answering the
    commonest class would be right nine times of ten, or if another class has less than a twentieth
    of the commonest one's images.
    """
    most, least, total = max(counts), min(counts), sum(counts)
    if most < COMMONEST_SHARE * total and least * RARE_FACTOR >= most:
        return None
    common, rare = class_names[list(counts).index(most)], class_names[list(counts).index(least)]
    why = (
        f"always predicting {common} would have an accuracy of {most / total:.3f} on them"
        if most >= COMMONEST_SHARE * total
        else f"never saying {rare} would cost an accuracy of {least / total:.3f} on them"
    )
    return (
        f"Warning: the classes are unbalanced: {common} has {most:,} of {total:,} training images "
        f"and {rare} {least:,}; {why}. loss.class_weights=balanced makes all classes "
        "count alike, dataset.sampling=balanced draws them equally often"
    )


def describe_balanced_sampling(
    counts: Sequence[int], class_names: Sequence[str], drawn: int
) -> str:
    """Return the note on an epoch of `drawn` images in which each class comes equally often.

    `counts` are the training images of each class.
    """
    present = [(count, name) for count, name in zip(counts, class_names, strict=True) if count]
    (least, rare), (most, common) = min(present), max(present)
    each = drawn / len(present)
    return (
        f"Balanced sampling: each class comes about {each:,.0f} times in an epoch of {drawn:,} "
        f"images; an image of {rare} ({least:,}) {each / least:.3g} times, one of {common} "
        f"({most:,}) {each / most:.3g} times"
    )


def describe_rare_classes(
    counts: Sequence[int], images: int, class_names: Sequence[str]
) -> str | None:
    """Return a warning of classes that may never be found, where images have several labels.

    `counts` are the training images of each class, of so many `images`. The warning comes if a
    class has less than a twentieth of the commonest one's images.
    """
    common, rare = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[rare] * RARE_FACTOR >= counts[common]:
        return None
    return (
        f"Warning: the classes are unbalanced: {class_names[common]} is in {counts[common]:,} of "
        f"{images:,} training images and {class_names[rare]} in {counts[rare]:,}; it may never be "
        "found. loss.class_weights=balanced makes the images with and without a class count alike"
    )


def add_label_noise(labels: np.ndarray, count: int, share: float, seed: int) -> np.ndarray:
    """Return a copy of labels (N,) in which a `share` has become another of `count` classes.

    The labels that change are drawn from `seed`; all other classes are equally likely.
    """
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(labels))[: round(share * len(labels))]
    result = labels.copy()
    result[chosen] = (labels[chosen] + random.integers(1, count, len(chosen))) % count
    return result
