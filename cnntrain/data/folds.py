"""Folds: the images outside of an official test part, in equal parts, one of them held out.

The division is a function of labels, groups, `dataset.folds` and `dataset.split_seed`, and not of
the fold that is held out, so that every image is in exactly one fold.
"""

from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedKFold

from cnntrain.data.groups import (
    Groups,
    assign_groups,
    check_group_counts,
    check_sides,
    iterate_class_masks,
)
from cnntrain.data.source import Source
from cnntrain.errors import SpecError


def hold_out_fold(
    source: Source, folds: int, fold: int, valid: float, seed: int, groups: Groups | None
) -> tuple[Source, str, str]:
    """Return a source with one fold as a part of its own, the name of that part, and its origin.

    The part is `test`, and `valid` if there is an official test part. The other images outside of
    the official test part are `train`. Raises SpecError for a class with fewer images, or groups,
    than folds, and if the fold would be a validation split that `dataset.valid=0` switches off.
    """
    part = "valid" if "test" in source.parts else "test"
    if part == "valid" and not valid:
        raise SpecError(
            "dataset.valid is 0, and the data set has an official test part, so that a fold is the "
            "validation split",
            "validation, or no folds",
            "dataset.valid=0.1, of which only matters that it is not 0",
        )
    train, official = source.parts["train"], source.parts.get("valid", source.parts["train"][:0])
    rows = np.concatenate([train, official[~np.isin(official, train)]])
    check_fold_sizes(source, rows, folds)
    if groups is not None:
        check_group_counts(source, groups, rows, folds)
    own = None if groups is None else groups.numbers[rows]
    number = divide_into_folds(source.labels[rows], own, folds, seed)
    if groups is not None:
        check_sides(source, groups, rows, number)
    parts = {name: kept for name, kept in source.parts.items() if name == "test"}
    parts |= {"train": rows[number != fold], part: rows[number == fold]}
    whole = "train and valid" if len(rows) > len(train) else "train"
    how = "stratified" if groups is None else f"stratified, by {groups.kind}"
    origin = f"cut from {whole}, fold {fold} of 0 to {folds - 1}, {how}, split_seed={seed}"
    return replace(source, parts=parts), part, origin


def check_fold_sizes(source: Source, rows: np.ndarray, folds: int) -> None:
    """Raise SpecError if a class has fewer of the images `rows` than there are folds."""
    sizes = {label: int(mask.sum()) for label, mask in iterate_class_masks(source.labels[rows])}
    rarest = min(sizes, key=lambda label: sizes[label])
    if (least := sizes[rarest]) < folds:
        name = source.class_names[rarest]
        raise SpecError(
            f"dataset.folds is {folds}, and {name} has {least} of the images that are divided "
            "into folds",
            "an image of each class in each fold",
            f"dataset.folds={least}" if least > 1 else f"more images of {name}",
        )


def divide_into_folds(
    labels: np.ndarray, groups: np.ndarray | None, folds: int, seed: int
) -> np.ndarray:
    """Return the fold (n,) of each image, counted from 0, in class proportions.

    Without `groups` (n,) it is scikit-learn's StratifiedKFold; with them no group is divided.
    Images with several labels each, `labels` (n, classes), are assigned like groups of one image.
    """
    if groups is None and labels.ndim == 2:
        groups = np.arange(len(labels))
    if groups is not None:
        return assign_groups(labels, groups, [1 / folds] * folds, [1] * folds, seed)
    division = StratifiedKFold(folds, shuffle=True, random_state=seed)
    numbers = np.empty(len(labels), int)
    for number, (_, held_out) in enumerate(division.split(labels, labels)):
        numbers[held_out] = number
    return numbers
