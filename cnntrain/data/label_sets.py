"""Cut examples that have several labels, so that each class keeps its share on both sides."""

import numpy as np

from cnntrain.data.sampling import resolve_split_size, split_stratified
from cnntrain.data.source import Source
from cnntrain.errors import SpecError


def check_labels_exist(source: Source) -> None:
    """Raise SpecError if there is one class, or none that an image of each part has."""
    if len(source.class_names) < 2:
        raise SpecError(
            f"images may have several labels, and there is one class, {source.class_names[0]}",
            "two classes or more",
        )
    for part, rows in source.parts.items():
        if not source.labels[rows].any():
            raise SpecError(
                f"no image of {part} has a label", "images with the classes to be found"
            )


def number_label_sets(labels: np.ndarray) -> np.ndarray:
    """Return a number (N,) for each image, the same for images with the same labels.

    `labels` are class numbers (N,), which come back as they are, or (N, classes) of 0 and 1.
    """
    if labels.ndim == 1:
        return labels
    return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)


def split_label_sets(
    rows: np.ndarray, labels: np.ndarray, size: float, seed: int, keep: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Split rows in two: the rest, and `size` of them (see `resolve_split_size`); and say how.

    `labels` (n, classes) are those of the rows. Where each set of labels has images enough for
    both sides, the images of a set are divided like those of a class, and `keep` are left of each.
    Else they are divided by the rarest label.
    """
    count, sets = resolve_split_size(size, len(rows)), number_label_sets(labels)
    sizes = np.bincount(sets)
    rest = len(rows) - count
    if sizes.min() > keep and len(sizes) <= count and keep * len(sizes) <= rest:
        return *split_stratified(rows, sets, size, seed, keep), "label sets"
    chosen = choose_by_rarest_label(labels, count, keep, seed)
    return rows[~chosen], rows[chosen], "the rarest label"


def sample_label_sets(
    rows: np.ndarray, labels: np.ndarray, count: int, seed: int, knob: str
) -> np.ndarray:
    """Return at most `count` of the rows, in which each class has its share.

    Raises SpecError, which names the setting `knob`, if it leaves no image.
    """
    if count >= len(rows):
        return rows
    if count < 1:
        raise SpecError(f"dataset.{knob} leaves no image", "an image or more", "a larger share")
    return rows[choose_by_rarest_label(labels[rows], count, 0, seed)]


def choose_by_rarest_label(labels: np.ndarray, count: int, keep: int, seed: int) -> np.ndarray:
    """Return a mask (N,) of `count` examples in which each class has its share.

    `labels` are (N, classes) of 0 and 1. The rarest class is divided first, then the one that is
    rarest among the images which are left, and so on; images without a label come last (after
    Sechidis et al. 2011, algorithm 1). A class gets at least one image, and at least `keep` images
    of it stay out, as far as the rarer ones leave it a choice.
    """
    random = np.random.default_rng(seed)
    total = labels.sum(axis=0, dtype=np.int64)
    wanted = np.round(count / len(labels) * total).astype(int)
    wanted = np.clip(wanted, np.minimum(1, total), np.maximum(total - keep, 0))
    chosen, is_open = np.zeros(len(labels), bool), np.ones(len(labels), bool)
    while is_open.any():
        left = labels[is_open].sum(axis=0, dtype=np.int64)
        room = count - int(chosen.sum())
        if left.any():
            label = int(np.where(left, left, len(labels) + 1).argmin())
            members = np.flatnonzero(is_open & (labels[:, label] > 0))
            take = int(wanted[label]) - int(labels[chosen, label].sum())
        else:
            members, take = np.flatnonzero(is_open), room
        stay = int(is_open.sum()) - room  # how many of the open ones must stay out
        take = int(np.clip(take, len(members) - stay, min(room, len(members))))
        chosen[random.permutation(members)[: max(0, take)]] = True
        is_open[members] = False
    return chosen
