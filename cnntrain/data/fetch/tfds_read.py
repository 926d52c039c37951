"""Read what TFDS has prepared as a source: small images as an array, photos as their bytes."""

import itertools
import operator
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as library

from cnntrain.data.device_memory import ENCODED_SHARE, fits_memory
from cnntrain.data.fetch.tfds_examples import iterate_examples
from cnntrain.data.fetch.tfds_records import PhotoKeys, read_recorded_photos
from cnntrain.data.fetch.tfds_slices import Piece, divide_splits
from cnntrain.data.photos.photo import Photos
from cnntrain.data.source import Source, allocate_images
from cnntrain.errors import SpecError, find_nearest
from cnntrain.spec.knobs import format_value

SMALL_SIDE = 128  # pixels; images of one size with both sides at most this are read into an array
# What helps if that array does not fit in memory.
MORE_MEMORY = "a machine with more memory: all images are read before dataset.limit applies"
# Raised for bytes that were changed, and for another number of examples than there should be.
DAMAGES = (tf.errors.DataLossError, tf.errors.FailedPreconditionError)
FILE_NAME = re.compile(r"(image[/_])?file_?name")


def choose_feature_keys(
    builder: Any, image_key: str | None, label_key: str | None
) -> tuple[str, str]:
    """Return the names of the image feature and of the label feature of a data set.

    They are `image_key` and `label_key`, or where one is None the feature that TFDS trains with.
    Raises SpecError if the data set has no image, or no single label.
    """
    supervised = builder.info.supervised_keys or (None, None)
    return (
        choose_one_feature(builder, "image", library.features.Image, image_key, supervised[0]),
        choose_one_feature(builder, "label", library.features.ClassLabel, label_key, supervised[1]),
    )


def choose_one_feature(builder: Any, what: str, kind: type, key: str | None, usual: object) -> str:
    """Return the feature `key`, else the one TFDS trains with, else the only one of its kind."""
    features = builder.info.features
    names = list(features) if hasattr(features, "items") else []
    candidates = [name for name in names if type(features[name]) is kind]
    choice = key or (usual if usual in candidates or len(candidates) != 1 else candidates[0])
    if choice in candidates:
        return str(choice)
    if not candidates:
        raise SpecError(
            f"{builder.name} has no {what} to learn from: it has {', '.join(names) or 'nothing'}",
            "a data set with an image and a class label",
        )
    raise SpecError(
        f"dataset.{what}_key is {format_value(key)}, and {builder.name} has the {what}s "
        + ", ".join(candidates),
        "one of these",
        f"dataset.{what}_key={find_nearest(key or what, candidates) or candidates[0]}",
    )


def read_builder_source(
    builder: Any, image_key: str, label_key: str, slices: Mapping[str, str | None]
) -> Source:
    """Return the source that a builder has ready in its `data_dir`: its official splits, or slices.

    `slices` are of TFDS' splits, for train, valid and test. Photos are sorted by their file names
    if they have some, else they are in TFDS' order. Raises SpecError if the files are damaged, the
    training images have no labels, or the splits share images.
    """
    names = builder.info.features[label_key].names
    splits = find_parts(builder, slices)
    feature = builder.info.features[image_key]
    is_small = (
        None not in feature.shape
        and max(feature.shape[:2]) <= SMALL_SIDE
        and feature.shape[2] in (1, 3)
        and np.dtype(feature.np_dtype) == np.uint8
    )
    keys = PhotoKeys(image_key, label_key, find_name_feature(builder))
    try:
        if is_small:
            found, sizes = read_small_images(builder, splits.values(), image_key, label_key)
        elif fit_in_memory(builder, itertools.chain.from_iterable(splits.values())):
            found, sizes = read_encoded_photos(builder, splits.values(), keys)
        else:
            found, sizes = read_recorded_photos(builder, splits.values(), keys, names)
    except DAMAGES as error:
        why = error.message.rpartition("}} ")[2]  # behind {{function_node …}}
        raise SpecError(
            f"{builder.data_dir} is damaged: {why}",
            "the files as TFDS wrote them",
            f"copy it again, or rm -r {builder.data_dir}",
        ) from error
    ends = np.cumsum(sizes)
    rows = {part: np.arange(e - n, e) for part, n, e in zip(splits, sizes, ends, strict=True)}
    without = [part for part in rows if (found.labels[rows[part]] < 0).any()]
    hidden = [piece.split for part in without for piece in splits[part]]
    rows = {part: own for part, own in rows.items() if part not in without}
    if "train" not in rows:
        raise SpecError(f"{builder.name} has training images without a label", "a label for each")
    notes = [f"{builder.name}: the labels of {name} are not published: left out" for name in hidden]
    used = {piece.split for pieces in splits.values() for piece in pieces}
    if unused := [name for name in builder.info.splits if name not in used]:
        notes.append(f"{builder.name}: its splits {', '.join(unused)} are not used")
    given = [f"{part} is {text}" for part, text in slices.items() if text is not None]
    origin = f"slices of TFDS: {', '.join(given)}" if given else "official"
    return replace(found, class_names=tuple(names), parts=rows, origin=origin, notes=notes)


def find_parts(builder: Any, slices: Mapping[str, str | None]) -> dict[str, list[Piece]]:
    """Return the pieces of TFDS' splits that train, valid and test consist of.

    Raises SpecError for wrong `slices`, and if no split of several is called train.
    """
    sizes = {name: builder.info.splits[name].num_examples for name in builder.info.splits}
    parts = divide_splits(sizes, slices)
    if "train" not in parts:
        raise SpecError(
            f"{builder.name} has the splits {', '.join(sizes)}",
            "one called train",
            f"dataset.slices.train={next(iter(sizes))}",
        )
    return parts


def read_small_images(
    builder: Any, parts: Collection[list[Piece]], image_key: str, label_key: str
) -> tuple[Source, list[int]]:
    """Return the images (N, H, W, C) uint8 of all parts with their labels, and their sizes."""
    sizes = [sum(len(piece.rows) for piece in pieces) for pieces in parts]
    height, width, channels = builder.info.features[image_key].shape
    images = allocate_images(sum(sizes), (height, width), channels, MORE_MEMORY)
    labels, start = np.empty(sum(sizes), np.int32), 0
    wanted = (image_key, label_key)
    for piece in itertools.chain.from_iterable(parts):
        for batch in iterate_examples(builder, piece, wanted, decoded=(image_key,)):
            end = start + len(batch[label_key])
            images[start:end], labels[start:end] = batch[image_key], batch[label_key]
            start = end
    return Source(images, labels, (), {}), sizes


def read_encoded_photos(
    builder: Any, parts: Collection[list[Piece]], keys: PhotoKeys
) -> tuple[Source, list[int]]:
    """Return the photos of all parts with their labels, and the size of each part."""
    wanted = [keys.image, keys.label, *([keys.name] if keys.name else [])]
    rows, sizes = list[tuple[str, bytes, int]](), list[int]()
    for pieces in parts:
        part_rows = list[tuple[str, bytes, int]]()
        for piece in pieces:
            start = piece.rows.start
            for batch in iterate_examples(builder, piece, wanted, decoded=()):
                end = start + len(batch[keys.label])
                names = [name.decode() for name in batch[keys.name]] if keys.name else [
                    f"{piece.split}[{index}]" for index in range(start, end)
                ]  # fmt: skip
                part_rows += zip(names, batch[keys.image], batch[keys.label], strict=True)
                start = end
        rows += sorted(part_rows, key=operator.itemgetter(0)) if keys.name else part_rows
        sizes.append(len(part_rows))
    all_names, contents, labels = zip(*rows, strict=True)
    photos = Photos(all_names, contents.__getitem__)
    return Source(photos, np.array(labels, np.int32), (), {}), sizes


def find_name_feature(builder: Any) -> str | None:
    """Return the feature that holds the name of an image's file, or None."""
    for name, feature in builder.info.features.items():
        if isinstance(feature, library.features.Text) and FILE_NAME.fullmatch(name):
            return str(name)
    return None


def fit_in_memory(builder: Any, pieces: Iterable[Piece]) -> bool:
    """Return whether the bytes of all photos fit in memory, where they would stay."""
    needed = sum(
        builder.info.splits[piece.split].num_bytes * len(piece.rows) // max(piece.count, 1)
        for piece in pieces
    )
    return fits_memory(needed, ENCODED_SHARE)
