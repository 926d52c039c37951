"""A part of the photos of cats and dogs (Asirra), as tutorials use it: 2,000 and 1,000."""

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

    Its folder `validation` is the test part, unless there is a folder `test`: validation is cut
    from train then. They are unpacked into `data_dir` first if need be. Raises SpecError where
    they are not there, and says what to put where.
    """
    found = unpack_photos(COLLECTION, data_dir, manual_dir)
    folders, classes = np.array([name.split("/")[:2] for name in found.photos.names]).T
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
        f"{found.archive}, not the usual 2,000 + 1,000"
    ]  # fmt: skip
    return Source(found.photos, labels, CLASSES, parts, origin, notes=notes)


def name_file(file: PurePosixPath) -> str | None:
    if "__MACOSX" in file.parts:
        return None
    match = PHOTO_PATH.fullmatch(str(file))
    return match[1] if match else None


def find_fault(names: Sequence[str]) -> str | None:
    there = {name.rpartition("/")[0] for name in names}
    absent = [f"{folder}/{name}" for folder in USUAL_COUNTS for name in CLASSES]
    absent = [folder for folder in absent if folder not in there]
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
