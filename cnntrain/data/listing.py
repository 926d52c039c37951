"""Photos that are too many to be read before the first step: only their names are known then."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cnntrain.data.label_sets import number_label_sets
from cnntrain.data.photos.decode import resolve_value_range, scan_photos
from cnntrain.data.photos.lazy_images import ListedCrops, ListedImages
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.photos.photo_index import SCANNED_PHOTOS, open_index
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.photos.records import RecordReader
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError

LOOKED_AT = 1000  # photos that stand for all, where a size or a range of values is sought
MEASURED = 2000  # training images that stand for all, where their mean is sought


def is_only_listed(
    photos: Photos,
    scan: Literal["auto", "all", "none"],
    cache: Literal["auto", "memory", "disk", "none"],
) -> bool:
    """Return whether photos are only listed before the first step, and not read, as `scan` says.

    `auto` has up to SCANNED_PHOTOS read, and all that are neither in files of their own nor in
    records. Those that are only listed differ in three ways: they are decoded each time they are
    needed, in place of one that turns out to be broken comes the next of its class, and the
    fingerprint of files is of their names. Raises SpecError if they are to be cached.
    """
    is_large = isinstance(photos.read, FileReader | RecordReader) and len(photos) > SCANNED_PHOTOS
    if scan == "all" or (scan == "auto" and not is_large):
        return False
    if cache in ("memory", "disk"):
        raise SpecError(
            f"dataset.cache is {cache}, and the {len(photos):,} photos are only listed before the "
            "first step",
            "photos that are all read and decoded once, before they are cached",
            "dataset.scan=all",
        )
    return True


def pick_spread_photos(photos: Photos) -> Photos:
    """Return some photos that stand for all, spread evenly over them."""
    rows = np.unique(np.linspace(0, len(photos) - 1, min(LOOKED_AT, len(photos))).astype(int))
    return photos.pick(rows.tolist())


def pick_for_statistics(train: Examples) -> Examples:
    """Return the training examples whose pixels are measured: of listed ones some, spread evenly.

    To decode all would take as long as an epoch.
    """
    if not isinstance(train.store, ListedImages) or len(train) <= MEASURED:
        return train
    return train[np.linspace(0, len(train) - 1, MEASURED).astype(int)]


def list_photos(photos: Photos, frame: Frame, cache_folder: Path) -> ListedImages:
    """Return photos as images that are decoded, and found to be broken, when they are asked for.

    What their files contain is kept in `cache_folder`. A `value_range` of `auto` is that of some
    photos, spread over all.
    """
    if frame.value_range == "auto":
        some = pick_spread_photos(photos)
        value_range, _ = resolve_value_range(some, scan_photos(some), "auto")
        frame = replace(frame, value_range=value_range)
    files = photos.read if isinstance(photos.read, FileReader) else None
    index = open_index(Path(files.root), cache_folder) if files else None
    return (ListedCrops if frame.resize == "random_crop" else ListedImages)(photos, frame, index)


def describe_listed_photos(photos: Photos) -> str:
    """Return the note that a run begins with."""
    return (
        f"The {len(photos):,} photos are decoded each time they are needed; one that turns out to "
        "be broken is replaced by the next of its class (dataset.scan)"
    )


def find_followers(
    count: int, rows: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return for each of `count` rows the next row of its class in its split (count,).

    Of images with several labels it is the next with the same ones. The last one is followed by
    the first. `rows` and `labels` are those of each split.
    """
    followers = np.arange(count)
    for split, own in rows.items():
        sets = number_label_sets(labels[split])
        order = np.argsort(sets, kind="stable")
        grouped, classes = own[order], sets[order]
        ends = np.flatnonzero(np.diff(classes, append=-1))  # the last place of each class
        starts = np.concatenate([[0], ends[:-1] + 1])
        following = np.roll(grouped, -1)
        following[ends] = grouped[starts]
        followers[grouped] = following
    return followers


def describe_replaced_photos(store: ListedImages) -> tuple[dict[str, Any], list[str]]:
    """Return what run.json has of a run's photos at its end, and what to say of them."""
    names = store.photos.names
    replaced = {names[row]: why for row, why in store.replaced.items()}
    changed = sorted(names[row] for row in store.changed)
    lines = []
    if replaced:
        what = "1 file that is no image" if len(replaced) == 1 else (
            f"{len(replaced):,} files that are no images"
        )  # fmt: skip
        named = [f"  {name}: {why}" for name, why in sorted(replaced.items())]
        lines.append("\n".join([f"Replaced {what} by the next of the class:", *named]))
    if changed:
        few = ", ".join(changed[:10]) + " …" * (len(changed) > 10)
        lines.append(
            f"Warning: {len(changed):,} photos have other contents than when they were first read: "
            f"{few}"
        )
    return {"replaced": replaced, "changed": changed}, lines
