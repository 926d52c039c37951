"""Digests of images and labels, which show whether two runs share their data."""

import hashlib
from typing import Any

import numpy as np

from cnntrain.data.source import Examples, Splits


def compute_fingerprint(splits: Splits) -> str:
    """Return the sha256 over the shapes, images and labels of all splits, in hexadecimal.

    For photos in files it covers the contents of the files instead of the pixels.
    """
    digest = hashlib.sha256()
    for name, part in splits.items():
        digest.update(f"{name}{(len(part), *splits.image_shape)}".encode())
        add_to_digest(digest, splits, part)
    return digest.hexdigest()


def compute_evaluation_fingerprints(splits: Splits) -> dict[str, str]:
    """Return the sha256 over the images and labels of each evaluation split, valid and test.

    Only runs that share it are ranked together. For photos in files it does not depend on the size
    that they are resized to.
    """
    fingerprints = {}
    for name, part in splits.items():
        if name != "train":
            add_to_digest(digest := hashlib.sha256(), splits, part)
            fingerprints[name] = digest.hexdigest()
    return fingerprints


def add_to_digest(digest: Any, splits: Splits, part: Examples) -> None:
    """Add the images and the labels of a split to a digest."""
    if splits.digests is not None:
        digest.update(splits.digests[part.locate_rows(np.arange(len(part)))].tobytes())
    else:
        for images in part.iterate_images():
            digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(part.labels).data)
