"""A data set before it is prepared: how many images of which shape, in which splits.

Facts come from the data set itself where it is prepared (a listed folder, TFDS' metadata), else
from `about` in the option's file. Splits are made as for training, with noise for images.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.data.fetch.tfds_slices import divide_splits
from cnntrain.data.inventory import find_prepared_folder
from cnntrain.data.listing import is_only_listed, pick_spread_photos
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.source import Source, Splits
from cnntrain.data.splits import ROW_KNOBS, build_splits, choose_frame, choose_rows
from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.spec import option_files
from cnntrain.spec.about import DatasetAbout, read_option
from cnntrain.spec.signatures import Component
from cnntrain.spec.spec import Spec

# Data sets that need no preparation.
SELF_DESCRIBING = ("digits", "image_folder", "records", "table")
POOL_SIZE = 64  # different images of noise
MAX_KEPT_SIDE = 128  # pixels; larger images of TFDS are photos, and resized


class NoiseImages:
    """Images of a shape (N, H, W, C) without content: the same few, again and again."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        draw = np.random.default_rng(0)
        self.pool = draw.integers(0, 256, (min(POOL_SIZE, shape[0]), *shape[1:]), dtype=np.uint8)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.pool[rows % len(self.pool)]


@dataclass(frozen=True)
class DatasetOutline:
    """Splits with noise for images, where their facts are from, and whether images are photos.

    `photos` are those that are here, with their `frame`; if they `are_listed`, they are decoded
    each time they are needed. `split_notes` tell of folds and groups.
    """

    splits: Splits
    provenance: str
    has_photos: bool
    photos: Photos | None = None
    frame: Frame | None = None
    are_listed: bool = False
    split_notes: Sequence[str] = ()


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of a data set: the size of its parts, its classes, the shape of its images."""

    parts: Mapping[str, int]
    class_names: Sequence[str]
    shape: tuple[int, int, int] | None  # None: photos of many sizes
    provenance: str


def outline_dataset(spec: Spec, config_dir: str | None) -> DatasetOutline:
    """Return the outline of the data set of a spec.

    Raises SpecError where nothing is known of it, and for what its settings refuse.
    """
    data_dir = expand_folder(spec.data_dir, "data_dir")
    own: Photos | tuple[int, ...] | None
    if spec.dataset.name in SELF_DESCRIBING:
        source, known = spec.dataset.bound_function(data_dir, None), "as it is here"
        own = source.images if isinstance(source.images, Photos) else source.images.shape[1:]
    else:
        facts = find_dataset_facts(spec, data_dir, config_dir)
        source, known, own = make_stand_in_source(facts), facts.provenance, facts.shape
    photos = own if isinstance(own, Photos) else None
    are_listed = photos is not None and is_only_listed(
        photos, spec.dataset["scan"], spec.dataset["cache"]
    )
    frame, shape = None, tuple[int, ...]()
    if isinstance(own, tuple):
        shape = compute_image_shape(spec.dataset, own)
    else:
        looked_at = pick_spread_photos(photos) if photos and are_listed else photos
        frame = choose_photo_frame(spec.dataset, looked_at)
        shape = frame.shape
    chosen = choose_rows(source, **{knob: spec.dataset[knob] for knob in ROW_KNOBS})
    splits = build_splits(source, NoiseImages((len(source.labels), *shape)), chosen)
    is_shaped = isinstance(own, tuple)
    return DatasetOutline(splits, known, not is_shaped, photos, frame, are_listed, chosen.notes)


def compute_image_shape(dataset: Component, own: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape (H, W, C) that images get, of which `own` is the shape that they have."""
    size, channels = dataset["image_size"], dataset["channels"]
    return (*(own[:2] if size in (None, "auto") else size), channels or own[2])


def choose_photo_frame(dataset: Component, photos: Photos | None) -> Frame:
    """Return the frame that photos are decoded into; `photos` is None if they are not prepared."""
    settings = [dataset[knob] for knob in ("image_size", "channels", "resize", "value_range")]
    return choose_frame(photos, *settings)[0]


def make_stand_in_source(facts: DatasetFacts) -> Source:
    """Return a source with the known number of images of each part, without pixels.

    Its classes are balanced.
    """
    ends = np.cumsum([*facts.parts.values()])
    starts = [0, *ends[:-1]]
    parts = {
        name: np.arange(start, end)
        for name, start, end in zip(facts.parts, starts, ends, strict=True)
    }
    total = int(ends[-1])
    labels = np.arange(total, dtype=np.int32) % len(facts.class_names)
    return Source(np.empty((total, 0, 0, 0), np.uint8), labels, tuple(facts.class_names), parts)


def find_dataset_facts(spec: Spec, data_dir: Path, config_dir: str | None) -> DatasetFacts:
    """Return what is known of a data set that has to be prepared; raise SpecError if nothing."""
    own = spec.dataset.knobs
    folder = find_prepared_folder(str(own.get("tfds") or spec.dataset.name), own, data_dir)
    if folder and own.get("tfds") and (facts := read_tfds_facts(folder, own)):
        return facts
    for file in option_files.find_option_files("dataset", config_dir).values():
        if facts := read_option_facts(file, spec.dataset):
            return facts
    name = own.get("tfds", spec.dataset.name)
    raise SpecError(
        f"what {name} holds is not known before it is here",
        "a data set that has been prepared in data_dir, or whose file says what it holds",
        f"cnntrain data prepare tfds dataset.tfds={name}",
    )


def read_option_facts(file: Path, dataset: Component) -> DatasetFacts | None:
    """Return what an option's file states of this data set; None if nothing, or if of another."""
    option, about = read_option(file, DatasetAbout)
    same = all(option.get(knob) == dataset.knobs.get(knob) for knob in ("tfds", "label_key"))
    if option.get("name") != dataset.name or not same:
        return None
    if about.images is None or about.num_classes is None:
        return None
    parts = {str(part): count for part, count in about.images.items()}
    if slices := dataset.knobs.get("slices"):
        tfds_names = {"valid": "validation"}
        sizes = {tfds_names.get(part, part): count for part, count in parts.items()}
        parts = count_parts(sizes, slices)
    names = invent_class_names(about.num_classes, dataset)
    return DatasetFacts(parts, names, about.image_shape, f"as {file.name} says; not prepared here")


def count_parts(sizes: Mapping[str, int], slices: Mapping[str, str | None]) -> dict[str, int]:
    """Return how many images of TFDS' splits, of `sizes`, each of ours has."""
    return {
        part: sum(len(piece.rows) for piece in pieces)
        for part, pieces in divide_splits(sizes, slices).items()
    }


def invent_class_names(count: int, dataset: Component) -> list[str]:
    """Return `count` class names: those that settings name first, and then numbers."""
    grouped = dataset["label_map"]
    members = [str(n) for group in grouped.values() for n in group] if grouped not in (
        "none", "odd_even") else []  # fmt: skip
    named = dict.fromkeys([*map(str, dataset["classes"] or ()), *members])
    others = (str(number) for number in range(10 * count))
    free = [name for name in others if name not in named]
    return [*named, *free][:count]


def read_tfds_facts(folder: Path, knobs: Mapping[str, Any]) -> DatasetFacts | None:
    """Return what the metadata of a data set prepared by TFDS states, or None if not enough."""
    try:
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        feature_spec = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        features = feature_spec["featuresDict"]["features"]
        default_keys = [item.get("featureKey") for item in info["supervisedKeys"]["tuple"]["items"]]
        image = features[knobs["image_key"] or default_keys[0]]["image"]
        key = knobs["label_key"] or default_keys[1]
        names = (folder / f"{key}.labels.txt").read_text(encoding="utf-8").split("\n")
        sizes = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    dimensions = [int(size) for size in image.get("shape", {}).get("dimensions", ())]
    has_fixed_shape = len(dimensions) == 3 and all(size > 0 for size in dimensions)
    parts = count_parts(sizes, knobs["slices"])
    if "train" not in parts or not math.prod(parts.values()):
        return None
    height, width, channels = dimensions if has_fixed_shape else (0, 0, 0)
    shape = (
        (height, width, channels)
        if has_fixed_shape and max(height, width) <= MAX_KEPT_SIDE
        else None
    )
    return DatasetFacts(parts, [name for name in names if name], shape, f"as it lies in {folder}")
