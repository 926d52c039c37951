"""The data sets: one file a source, `f(data_dir, manual_dir, *, knobs) -> Source`.

`dataset` turns any source into its three splits: official where they exist, else stratified and
seeded, cut from the training part. Until the very end a split is row numbers and labels.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cnntrain.data.labels import add_label_noise, group_classes, select_classes
from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.photo_cache import cache_photos
from cnntrain.data.source import Examples, Source, Splits
from cnntrain.data.splits import (
    apply_cached_photos,
    choose_frame,
    reframe_images,
    sample_rows,
    split_source,
)
from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count, Factor, Fraction, Name, Seed, Share, normalise_unicode


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
    classes: list[Name] | None,
    label_map: Literal["none", "odd_even"] | dict[Name, list[Name]],
    label_noise: Fraction,
    valid: Share,
    test: Share,
    split_seed: Seed,
    fraction: Factor | None,
    limit: Count | None,
) -> Splits:
    """Return the splits of a source.

    `valid` and `test` say how much to cut off where the source has no such split, `split_seed`
    which examples; it is not the run's seed, so that runs stay comparable. `fraction` keeps that
    share of the training images, `limit` at most that many images of each split, both in class
    proportions. Files that are no images are left out, and named in `skipped`. What else people
    should know of their photos is in `notes`.
    """
    source = component(data_dir, manual_dir)
    if isinstance(photos := source.images, Photos):
        frame, notes = choose_frame(photos, image_size, channels, resize, value_range)
        source = replace(source, notes=[*source.notes, *notes])
        source = apply_cached_photos(
            source, frame, cache_photos(photos, frame, cache, data_dir / CACHE_FOLDER)
        )
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
    source = replace(source, class_names=tuple(map(normalise_unicode, source.class_names)))
    source = select_classes(source, classes)
    groups, class_names = group_classes(source.class_names, label_map)

    rows, origin = split_source(source, valid, test, split_seed)
    if fraction is not None:
        count = round(fraction * len(rows["train"]))
        rows["train"] = sample_rows(rows["train"], source.labels, count, split_seed, "fraction")
    if limit is not None:
        for name, part in rows.items():
            rows[name] = sample_rows(part, source.labels, limit, split_seed, "limit")
    labels = {name: groups[source.labels[part]] for name, part in rows.items()}
    if label_noise:
        labels["train"] = add_label_noise(
            labels["train"], len(class_names), label_noise, split_seed
        )
    assert not isinstance(source.images, Photos)
    size = None if image_size == "auto" else image_size
    store, rows = reframe_images(source.images, rows, size, channels, resize)
    parts = {name: Examples(store, labels[name], rows[name]) for name in rows}
    return Splits(
        **parts,
        class_names=class_names,
        origin=origin,
        skipped=source.skipped,
        digests=source.digests,
        notes=source.notes,
        names=source.names,
        value_range=source.value_range,
    )
