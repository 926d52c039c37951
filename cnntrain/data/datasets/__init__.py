"""The data sets: one file per source, `f(data_dir, manual_dir, *, knobs) -> Source`.

`dataset` turns any source into its three splits: official where they exist, else cut from the
training part: stratified and seeded, or its first images. Up to `build_splits` a split is only row
numbers and labels.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cnntrain.data.listing import (
    describe_listed_photos,
    find_followers,
    is_only_listed,
    list_photos,
    pick_spread_photos,
)
from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.data.photos.lazy_images import ListedImages
from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.photo_cache import cache_photos
from cnntrain.data.source import Source, Splits
from cnntrain.data.splits import (
    apply_cached_photos,
    build_splits,
    choose_frame,
    choose_rows,
    reframe_images,
)
from cnntrain.errors import SpecError
from cnntrain.spec.knobs import (
    Count,
    Factor,
    Folds,
    Fraction,
    Name,
    Natural,
    Probability,
    Seed,
    Share,
)


def dataset(
    component: Callable[[Path, Path | None], Source],
    data_dir: Path,
    manual_dir: Path | None,
    *,
    image_size: tuple[Count, Count] | Literal["auto"] | None,
    resize: Literal["stretch", "crop", "pad", "random_crop"],
    channels: Literal[1, 3] | None,
    value_range: tuple[float, float] | Literal["auto"] | None,
    cache: Literal["auto", "memory", "disk", "none"],
    scan: Literal["auto", "all", "none"],
    classes: list[Name] | None,
    label_map: Literal["none", "odd_even"] | dict[Name, list[Name]],
    label_noise: Fraction,
    valid: Natural | Probability,
    test: Share,
    cut: Literal["stratified", "first"],
    split_seed: Seed,
    folds: Folds | None,
    fold: Natural | None,
    groups: Name | None,
    sampling: Literal["shuffled", "balanced"],
    fraction: Factor | None,
    limit: Count | None,
) -> Splits:
    """Return the splits of a source.

    `valid` and `test` are the sizes of the splits that the source lacks: a fraction of the training
    images that are left if below 1, else a count. They are drawn in class proportions by
    `split_seed`, which is not the run's seed, so that runs stay comparable, or with the `cut` first
    they are the first images: those of test, then those of valid. A `valid` of 0 leaves no valid
    split: all images but those of test train. Of the images outside of an official test part, in
    as many parts as `folds`, the `fold` is held out, as `hold_out_fold` says. No cut divides one of
    the `groups`. `fraction` keeps that share of the training images, `limit` at most that many
    images of each split, both in class proportions. `sampling` says which training examples an
    epoch has, for `TrainingBatches`.
    For `image_size`, `resize`, `channels` and `value_range` see `choose_frame` and `Frame`, for
    `cache` see `cache_photos`, for `scan` see `is_only_listed`, for `classes`, `label_map` and
    `label_noise` see `labels.py`. Files that are no images are left out, and named in `skipped`;
    `notes` has what else users should know of their photos. Raises SpecError for a setting that
    does not suit the source.
    """
    source = component(data_dir, manual_dir)
    if isinstance(photos := source.images, Photos):
        is_listed, folder = is_only_listed(photos, scan, cache), data_dir / CACHE_FOLDER
        looked_at = pick_spread_photos(photos) if is_listed else photos
        frame, notes = choose_frame(looked_at, image_size, channels, resize, value_range)
        source = replace(source, notes=[*source.notes, *notes])
        if is_listed:
            listed, note = list_photos(photos, frame, folder), describe_listed_photos(photos)
            notes = [*source.notes, note]
            source = replace(source, images=listed, names=photos.names, notes=notes)
        else:
            source = apply_cached_photos(source, frame, cache_photos(photos, frame, cache, folder))
    elif isinstance(value_range, tuple):
        raise SpecError(
            f"dataset.value_range is {list(value_range)} and all images have 8 bits",
            "photos in files of 16 or 32 bits",
            "dataset.value_range=auto",
        )
    elif resize == "random_crop":
        raise SpecError(
            "dataset.resize is random_crop and the images are small and of one size",
            "photos in files",
            "augmentation=inception_crop",
        )
    if sampling == "balanced" and source.labels.ndim == 2:
        raise SpecError(
            "dataset.sampling is balanced and images may have several labels",
            "images of one class each, of which each class comes equally often",
            "dataset.sampling=shuffled",
        )
    chosen = choose_rows(
        source, classes=classes, label_map=label_map, label_noise=label_noise, valid=valid,
        test=test, cut=cut, split_seed=split_seed, folds=folds, fold=fold, groups=groups,
        fraction=fraction, limit=limit,
    )  # fmt: skip
    if isinstance(source.images, ListedImages):
        source.images.followers = find_followers(len(source.labels), chosen.rows, chosen.labels)
    assert not isinstance(source.images, Photos)
    size = None if image_size == "auto" else image_size
    images, rows = reframe_images(source.images, chosen.rows, size, channels, resize)
    return build_splits(source, images, replace(chosen, rows=rows))
