"""A source cut into train, valid and test: official parts, else drawn or first images of train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cnntrain.data.folds import hold_out_fold
from cnntrain.data.groups import (
    Groups,
    check_group_counts,
    describe_missed_size,
    find_groups,
    split_groups,
    warn_about_divided_groups,
)
from cnntrain.data.label_sets import check_labels_exist, sample_label_sets, split_label_sets
from cnntrain.data.labels import (
    add_label_noise,
    group_classes,
    iterate_classes,
    select_classes,
)
from cnntrain.data.photos.decode import find_common_shape
from cnntrain.data.photos.modes import ValueRange
from cnntrain.data.photos.photo import Frame, Photos, Resize, reframe_image
from cnntrain.data.photos.photo_cache import CachedPhotos
from cnntrain.data.sampling import (
    check_cuts,
    resolve_split_size,
    sample_rows,
    split_first,
    split_stratified,
)
from cnntrain.data.source import (
    ARRAY_REMEDIES,
    Examples,
    Images,
    Source,
    Splits,
    allocate_images,
)
from cnntrain.errors import SpecError
from cnntrain.spec.contradictions import check_several_label_knobs
from cnntrain.spec.knobs import Name, normalise_unicode

# Pixels: image_size=auto makes photos DEFAULT_SIDE high and wide, unless all have one size already
# with sides from SMALLEST_SIDE, below which LeNet-5 has no room, to DEFAULT_SIDE.
DEFAULT_SIDE = 64
SMALLEST_SIDE = 16
# The knobs of a data set that decide which of its images each split gets, and their labels.
ROW_KNOBS = (
    "classes", "label_map", "label_noise", "valid", "test", "cut", "split_seed",
    "folds", "fold", "groups", "fraction", "limit",
)  # fmt: skip


Cut = Literal["stratified", "first"]


@dataclass(frozen=True)
class SplitRows:
    """Which rows of a source each split has, their labels, and where each split comes from.

    `weights` has those of the examples of each split, or nothing. `notes` tell the user of folds
    and groups.
    """

    rows: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]
    origin: dict[str, str]
    weights: Mapping[str, np.ndarray]
    notes: Sequence[str] = ()


def choose_frame(
    photos: Photos | None,
    size: tuple[int, int] | Literal["auto"] | None,
    channels: Literal[1, 3] | None,
    resize: Resize,
    value_range: ValueRange,
) -> tuple[Frame, list[str]]:
    """Return the frame that photos are decoded into, and notes for the user, at most one.

    Without a `size` photos of one size keep it and, if all are grey, their one channel; `auto`
    keeps only small ones, of 16 to 64 pixels, and makes others 64x64. `photos` is None if they have
    not been downloaded. Raises SpecError if `size` is None and the photos differ in size.
    """
    if isinstance(size, tuple):
        return Frame(size, channels or 3, resize, value_range), []
    shape = find_common_shape(photos, DEFAULT_SIDE if size == "auto" else None) if photos else None
    if shape is not None and (size is None or min(shape[:2]) >= SMALLEST_SIDE):
        height, width, own = shape
        depth = channels or own
        what = f"{height}x{width}, {'grey' if depth == 1 else 'in colour'}"
        note = f"All photos are of one size and stay {what}; dataset.image_size=[H,W] gives another"
        return Frame((height, width), depth, resize, value_range), [note]
    if size is None:
        raise SpecError(
            "dataset.image_size is null and the photos are of many sizes",
            "the height and width that all get",
            f"dataset.image_size=[{DEFAULT_SIDE},{DEFAULT_SIDE}]",
        )
    return Frame((DEFAULT_SIDE, DEFAULT_SIDE), channels or 3, resize, value_range), []


def apply_cached_photos(source: Source, frame: Frame, kept: CachedPhotos) -> Source:
    """Return the source with the cached images in place of its photos, without the broken ones.

    Notes on the photos are added to its own. Raises SpecError for a class without a whole image,
    and for photos that are not what the source has noted of them.
    """
    assert isinstance(source.images, Photos)
    names, broken = source.images.names, kept.findings.broken
    if source.digests is not None:
        check_noted_photos(names, source.digests, kept)
    skipped = tuple((names[row], why) for row, why in sorted(broken.items()))
    skipped = (*source.skipped, *skipped)
    whole = np.ones(len(source.labels), bool)
    whole[list(broken)] = False
    check_decodable_classes(source, whole, dict(skipped))
    notes = [*source.notes, *kept.findings.list_notes(len(names), frame.value_range)]
    return replace(
        source,
        images=kept.images,
        skipped=skipped,
        digests=kept.digests,
        names=names,
        notes=notes,
        value_range=kept.findings.value_range,
    ).keep_examples(whole)


def check_noted_photos(names: Sequence[str], noted: np.ndarray, kept: CachedPhotos) -> None:
    """Raise SpecError if photos have other contents than were `noted` (N,) of them, as sha256."""
    changed = np.flatnonzero(noted != kept.digests)
    if len(changed):
        row = int(changed[0])
        why = kept.findings.broken.get(row, "its contents are others")
        raise SpecError(
            f"{len(changed):,} of {len(names):,} photos are not those that were written into the "
            f"records, for example {names[row]} ({why})",
            "records as they were written",
            "copy them again, or prepare them anew",
        )


def check_decodable_classes(source: Source, whole: np.ndarray, broken: Mapping[str, str]) -> None:
    """Raise SpecError for a class of which no file is an image."""
    assert isinstance(source.images, Photos)
    for part, rows in source.parts.items():
        for label, members in iterate_classes(source.labels, rows):
            if not whole[members].any():
                name = source.images.names[members[0]]
                raise SpecError(
                    f"none of the {len(members)} files of {source.class_names[label]} in {part} "
                    f"is an image, for example {name} ({broken[name]})",
                    "files that can be decoded",
                )


def choose_rows(
    source: Source,
    *,
    classes: Sequence[Name] | None,
    label_map: str | Mapping[Name, Sequence[Name]],
    label_noise: float,
    valid: float,
    test: float,
    cut: Cut,
    split_seed: int,
    folds: int | None,
    fold: int | None,
    groups: Name | None,
    fraction: float | None,
    limit: int | None,
) -> SplitRows:
    """Return the rows of each split: a function of `ROW_KNOBS`, labels, parts and groups.

    No image is looked at: there may be none yet. Raises SpecError for classes that do not exist,
    and for splits that would lack one.
    """
    names = tuple(map(normalise_unicode, source.class_names))
    source = select_classes(replace(source, class_names=names), classes)
    has_several_labels = source.labels.ndim == 2
    if has_several_labels:
        check_several_label_knobs(label_map, label_noise)
        check_labels_exist(source)
    numbers, class_names = group_classes(source.class_names, label_map)
    kept_together = None if groups is None else find_groups(source, str(groups))
    rows, origin, notes = split_by_settings(
        source, valid, test, cut, split_seed, folds, fold, kept_together
    )
    sample = sample_label_sets if has_several_labels else sample_rows
    if fraction is not None:
        count = round(fraction * len(rows["train"]))
        rows["train"] = sample(rows["train"], source.labels, count, split_seed, "fraction")
    if limit is not None:
        for name, part in rows.items():
            rows[name] = sample(part, source.labels, limit, split_seed, "limit")
    labels = {name: source.labels[part] for name, part in rows.items()}
    if not has_several_labels:
        labels = {name: numbers[own] for name, own in labels.items()}
    if label_noise:
        labels["train"] = add_label_noise(
            labels["train"], len(class_names), label_noise, split_seed
        )
    own = source.weights
    weights = {} if own is None else {name: own[part] for name, part in rows.items()}
    return SplitRows(rows, labels, class_names, origin, weights, notes)


def split_by_settings(
    source: Source,
    valid: float,
    test: float,
    cut: Cut,
    seed: int,
    folds: int | None,
    fold: int | None,
    groups: Groups | None,
) -> tuple[dict[str, np.ndarray], dict[str, str], list[str]]:
    """Return what `split_source` does, of a source with a fold held out if `folds`; and notes."""
    notes, held_out = list[str](), dict[str, str]()
    if groups is not None:
        notes.append(groups.describe(np.unique(np.concatenate([*source.parts.values()]))))
    if folds is not None and fold is not None and "train" in source.parts:
        source, part, origin = hold_out_fold(source, folds, fold, valid, seed, groups)
        held_out = {part: origin, "train": "all that is left"}
        notes.append(f"Fold {fold} of {folds}, counted from 0, is the {part} split")
    if groups is not None and (warning := warn_about_divided_groups(source.parts, groups)):
        notes.append(warning)
    rows, origins = split_source(source, valid, test, cut, seed, groups)
    return rows, origins | held_out, notes


def build_splits(source: Source, images: Images, chosen: SplitRows) -> Splits:
    """Return the splits that consist of the chosen rows of `images`, with the source's notes."""
    parts = {
        name: Examples(images, chosen.labels[name], rows, chosen.weights.get(name))
        for name, rows in chosen.rows.items()
    }
    return Splits(
        train=parts["train"],
        valid=parts.get("valid"),
        test=parts["test"],
        class_names=chosen.class_names,
        origin=chosen.origin,
        skipped=source.skipped,
        digests=source.digests,
        notes=[*source.notes, *chosen.notes],
        names=source.names,
        value_range=source.value_range,
    )


def split_source(
    source: Source, valid: float, test: float, cut: Cut, seed: int, groups: Groups | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the rows of train, valid and test, and in a few words where each comes from.

    Without validation, a `valid` of 0, there are no rows of valid: its official part trains, too.
    No cut divides one of `groups`.
    """
    if "train" not in source.parts:
        raise SpecError(
            f"the data set has no training images, only the part {' and '.join(source.parts)}",
            "a part to learn from",
            "call its folder train, or put another one called train beside it",
        )
    train, origin, parts = source.parts["train"], {}, {}
    shares = {"test": test} | ({"valid": valid} if valid else {})
    wanted = {name: share for name, share in shares.items() if name not in source.parts}
    check_cuts(source, wanted)
    if groups is not None and wanted:
        check_group_counts(source, groups, train, 1 + len(wanted))
    for name, share in shares.items():
        if name in source.parts:
            parts[name], origin[name] = source.parts[name], source.origin
            continue
        del wanted[name]
        labels = source.labels[train]
        if cut == "first":
            train, parts[name] = split_first(train, labels, share, name)
            origin[name] = f"cut from train, its first {len(parts[name]):,} images"
        elif groups is not None:
            count = resolve_split_size(share, len(train))
            train, parts[name] = split_groups(train, source, groups, share, seed, 1 + len(wanted))
            missed = describe_missed_size(len(parts[name]), count)
            origin[name] = (
                f"cut from train, stratified, by {groups.kind}, split_seed={seed}{missed}"
            )
        elif labels.ndim == 2:
            train, parts[name], how = split_label_sets(train, labels, share, seed, 1 + len(wanted))
            origin[name] = f"cut from train, stratified by {how}, split_seed={seed}"
        else:
            train, parts[name] = split_stratified(train, labels, share, seed, 1 + len(wanted))
            origin[name] = f"cut from train, stratified, split_seed={seed}"
    is_cut = not shares.keys() <= source.parts.keys()
    parts["train"], origin["train"] = train, "all that is left" if is_cut else source.origin
    official = source.parts.get("valid", train[:0])
    if not valid and len(joining := official[~np.isin(official, train)]):
        parts["train"] = np.concatenate([train, joining])
        origin["train"] += ", joined by the valid part"
    return parts, origin


def reframe_images(
    images: Images,
    rows: Mapping[str, np.ndarray],
    size: tuple[int, int] | None,
    channels: Literal[1, 3] | None,
    resize: Resize,
) -> tuple[Images, Mapping[str, np.ndarray]]:
    """Return images of the size and channels asked for, and the rows of each split in them.

    Images that have this shape are returned as they are. Of others only `rows` are copied, resized,
    and these copies get new rows.
    """
    height, width, depth = images.shape[1:]
    frame = Frame(size or (height, width), channels or depth, resize, None)  # type: ignore[arg-type]
    if frame.shape == images.shape[1:]:
        return images, rows
    count = sum(map(len, rows.values()))
    result = allocate_images(count, frame.size, frame.channels, ARRAY_REMEDIES)
    start, places = 0, {}
    for name, part in rows.items():
        places[name] = np.arange(start, start + len(part))
        for place, row in zip(places[name], part, strict=True):
            result[place] = reframe_image(images[np.array([row])][0], frame)
        start += len(part)
    return result, places
