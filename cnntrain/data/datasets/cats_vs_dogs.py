"""23,262 photos of cats and dogs (Elson et al. 2007, Asirra), with a test split of our own."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cnntrain.data.fetch.tfds_builder import find_builder, prepare_builder
from cnntrain.data.fetch.tfds_read import choose_feature_keys, read_builder_source
from cnntrain.data.photos.photo import Photos
from cnntrain.data.source import Source

TEST_SHARE = 0.1  # of each class; it must never change, so that results stay comparable


def cats_vs_dogs(data_dir: Path, manual_dir: Path | None) -> Source:
    """Return TFDS' `cats_vs_dogs`, with a test split, which TFDS does not have.

    `choose_test_rows` cuts it. The data set is prepared as `tfds` prepares any, with its errors.
    """
    features = choose_feature_keys(find_builder("cats_vs_dogs", data_dir), None, None)
    builder = prepare_builder("cats_vs_dogs", data_dir, manual_dir)
    whole = read_builder_source(builder, *features, {})
    assert isinstance(whole.images, Photos)
    test = choose_test_rows(whole.images.names, whole.labels)
    train = np.setdiff1d(whole.parts["train"], test)
    origin = "fixed: the tenth of each class whose file names have the smallest sha256"
    return replace(whole, parts={"train": train, "test": test}, origin=origin)


def choose_test_rows(names: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Return the rows of the test split, ascending, which are the same photos in any order of rows.

    They are the tenth (rounded) of each class that comes first by the sha256 of its file names
    (`PetImages/Cat/0.jpg`, in UTF-8).
    """
    order = np.array(sorted(range(len(names)), key=lambda row: hash_name(names[row])))
    chosen = [order[labels[order] == label] for label in np.unique(labels)]
    return np.sort(np.concatenate([rows[: round(TEST_SHARE * len(rows))] for rows in chosen]))


def hash_name(name: str) -> str:
    return hashlib.sha256(name.replace("\\", "/").encode()).hexdigest()
