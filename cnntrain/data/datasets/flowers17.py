"""Oxford 17 flowers: 80 photos of each of 17 species (Nilsback & Zisserman 2006)."""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import scipy.io

from cnntrain.data.fetch.archives import PhotoCollection, unpack_photos
from cnntrain.data.fetch.download import DOWNLOADS, Archive, find_given_archive
from cnntrain.data.source import Source
from cnntrain.errors import SpecError
from cnntrain.files.writing import write_whole

# The classes, in the order of the photos.
CLASSES = (
    "Daffodil", "Snowdrop", "Lily Valley", "Bluebell", "Crocus", "Iris", "Tigerlily", "Tulip",
    "Fritillary", "Sunflower", "Daisy", "Colts' Foot", "Dandelion", "Cowslip", "Buttercup",
    "Windflower", "Pansy",
)  # fmt: skip
PHOTOS_EACH = 80  # photos of each class
NAMES = [f"jpg/image_{number:04}.jpg" for number in range(1, PHOTOS_EACH * len(CLASSES) + 1)]

SITE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17"
PHOTOS_FILE = Archive(
    f"{SITE}/17flowers.tgz", "17flowers.tgz", 60_270_631, "b59a65d8d1a99cd66944d474e1289eab", "md5"
)
SPLITS_FILE = Archive(
    f"{SITE}/datasplits.mat", "datasplits.mat", None, "4828cddfd0d803c5abbdebcb1e148a1e", "md5"
)
MAT_KEYS = {"train": "trn", "valid": "val", "test": "tst"}  # each key ends in the split number


def flowers17(data_dir: Path, manual_dir: Path | None, *, split: Literal[1, 2, 3] | None) -> Source:
    """Return the 1,360 photos, divided by the official split numbered `split` if its file is there.

    The photos are unpacked into `data_dir` first if need be: from the official archive, in
    `manual_dir` or downloaded, or from any archive or folder in `manual_dir` that has photos of the
    same names. Raises SpecError if there is none, and says which file belongs where.
    """
    unpacked = unpack_photos(COLLECTION, data_dir, manual_dir)
    labels = np.arange(len(NAMES), dtype=np.int32) // PHOTOS_EACH
    notes = []
    if unpacked.md5 != PHOTOS_FILE.digest:
        notes.append(
            f"flowers17: the photos are unofficial: from {unpacked.archive}, md5 {unpacked.md5}"
        )
    splits_file = find_split_file(data_dir, manual_dir)
    if split is None or splits_file is None:
        lack = f"; {SPLITS_FILE.name} is not there" if split else ""
        notes.append(f"flowers17: not an official split{lack}: cut by dataset.split_seed")
        return Source(
            unpacked.photos, labels, CLASSES, {"train": np.arange(len(NAMES))}, notes=notes
        )
    notes.append(f"flowers17: official split {split}")
    parts = read_official_split(splits_file, split)
    return Source(unpacked.photos, labels, CLASSES, parts, f"official split {split}", notes=notes)


def find_split_file(data_dir: Path, manual_dir: Path | None) -> Path | None:
    """Return the file of the official splits, or None; a user's file is copied to `data_dir`."""
    home = data_dir / COLLECTION.name
    for folder in (home, manual_dir, data_dir / DOWNLOADS / COLLECTION.name):
        if file := find_given_archive(SPLITS_FILE, folder):
            if folder == manual_dir and os.access(home, os.W_OK):
                write_whole(home / SPLITS_FILE.name, file.read_bytes())
            return file
    return None


def read_official_split(splits_file: Path, split: int) -> dict[str, np.ndarray]:
    """Return the rows of each part of an official split: 680, 340 and 340 photos.

    Raises SpecError if the file names a photo twice, or one that does not exist.
    """
    numbers = scipy.io.loadmat(str(splits_file))
    parts = {part: np.sort(numbers[f"{key}{split}"].ravel() - 1) for part, key in MAT_KEYS.items()}
    rows = np.concatenate([*parts.values()])
    if len(np.unique(rows)) != len(rows) or not 0 <= rows.min() <= rows.max() < len(NAMES):
        raise SpecError(
            f"split {split} of {splits_file} lists a photo twice, or one that does not exist",
            "three disjoint parts of the photos 1 to 1360",
            "another dataset.split",
        )
    return {part: rows.astype(np.int64) for part, rows in parts.items()}


def name_file(file: PurePosixPath) -> str | None:
    """Return `jpg/image_NNNN.jpg` for a photo in any folder, or None for other files."""
    name = f"jpg/{file.name}"
    return name if re.fullmatch(r"jpg/image_\d{4}\.jpg", name) else None


def find_fault(names: Sequence[str]) -> str | None:
    """Return which photo is missing or superfluous, or None if all 1,360 are there."""
    if absent := sorted(set(NAMES) - set(names)):
        return f"has {len(set(NAMES) & set(names)):,} of the 1,360 photos: {absent[0]} is missing"
    more = sorted(set(names) - set(NAMES))
    return f"has {more[0]} besides the 1,360 photos" if more else None


COLLECTION = PhotoCollection(
    name="flowers17",
    archives=(PHOTOS_FILE, SPLITS_FILE),
    patterns=(PHOTOS_FILE.name, "*17*[Ff]lower*", "*[Ff]lower*17*", "jpg"),
    sign="image_0001.jpg",
    wanted=f"{PHOTOS_FILE} and {SPLITS_FILE} from {SITE}; or, unofficial, any archive or folder "
    "called *flower*17* with the photos image_0001.jpg to image_1360.jpg",
    name_file=name_file,
    find_fault=find_fault,
)
