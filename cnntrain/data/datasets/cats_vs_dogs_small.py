"""A subset of the photos of cats and dogs (Asirra) that tutorials use: 2,000 and 1,000 photos."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from cnntrain.data.fetch.archives import PhotoCollection, unpack_photos
from cnntrain.data.source import Source

CLASSES = ("cats", "dogs")
USUAL_COUNTS = {"train": 2000, "validation": 1000}
PHOTO_PATH = re.compile(r"(?:.*/)?((?:train|validation|test)/(?:cats|dogs)/[^/.][^/]*)")


def cats_vs_dogs_small(data_dir: Path, manual_dir: Path | None) -> Source:
    """Return the photos of a zip, an archive or a folder `cats_and_dogs*` in `manual_dir`.

    The photos are unpacked into `data_dir` first if need be. With a folder `test`, the folders
    train, validation and test are the three splits. Without it, the folder `validation` is the test
    split, and the validation split is cut from train. Raises SpecError if the photos are missing,
    and says which file belongs where.
    """
    unpacked = unpack_photos(COLLECTION, data_dir, manual_dir)
    folders, classes = np.array([name.split("/")[:2] for name in unpacked.photos.names]).T
    labels = np.searchsorted(CLASSES, classes).astype(np.int32)
    rows = {str(folder): np.flatnonzero(folders == folder) for folder in np.unique(folders)}
    if "test" in rows:
        parts, origin = {"valid": rows["validation"], "test": rows["test"]}, "its folders"
    else:
        parts, origin = {"test": rows["validation"]}, "its folder validation"
    parts["train"] = rows["train"]
    counts = {folder: len(rows[folder]) for folder in USUAL_COUNTS}
    notes = [] if counts == USUAL_COUNTS else [
        f"cats_vs_dogs_small: {counts['train']:,} + {counts['validation']:,} photos from "
        f"{unpacked.archive}, not the usual 2,000 + 1,000"
    ]  # fmt: skip
    return Source(unpacked.photos, labels, CLASSES, parts, origin, notes=notes)


def name_file(file: PurePosixPath) -> str | None:
    """Return the name of a photo, from its split's folder on, or None for other files."""
    if "__MACOSX" in file.parts:
        return None
    match = PHOTO_PATH.fullmatch(str(file))
    return match[1] if match else None


def find_fault(names: Sequence[str]) -> str | None:
    """Return which class has no photos in a folder, or None if all are there."""
    present = {name.rpartition("/")[0] for name in names}
    needed = [f"{folder}/{name}" for folder in USUAL_COUNTS for name in CLASSES]
    absent = [folder for folder in needed if folder not in present]
    return f"has no photos in {absent[0]}" if absent else None


COLLECTION = PhotoCollection(
    name="cats_vs_dogs_small",
    archives=(),
    patterns=("cats_and_dogs_filtered*", "cats_and_dogs*", "cats_vs_dogs_small*"),
    sign="train/cats",
    wanted="cats_and_dogs_filtered.zip (69 MB) from "
    "https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip, or any archive or "
    "folder cats_and_dogs* with train/cats, train/dogs, validation/cats and validation/dogs",
    name_file=name_file,
    find_fault=find_fault,
)
