"""A short name for exactly these images and labels, so that two runs can be told to share data."""

import hashlib
from typing import Any

import numpy as np

from cnntrain.data.source import Examples, Splits


def compute_fingerprint(splits: Splits) -> str:
    """Return the sha256 over the shapes, images and labels of the three splits.

    Of photos in files, it is over the contents of these instead of the pixels.
    """
    digest = hashlib.sha256()
    for name, part in splits.items():
        digest.update(f"{name}{(len(part), *splits.image_shape)}".encode())
        add_to_digest(digest, splits, part)
    return digest.hexdigest()


def fingerprint_judging_images(splits: Splits) -> dict[str, str]:
    """Return the sha256 over the images and labels of valid and of test, by which runs are ranked.

    Photos in files have the same one at any size that they are shown in.
    """
    found = {}
    for name, part in splits.items():
        if name != "train":
            add_to_digest(digest := hashlib.sha256(), splits, part)
            found[name] = digest.hexdigest()
    return found


def add_to_digest(digest: Any, splits: Splits, part: Examples) -> None:
    """Add the images and the labels of a split to a digest."""
    if splits.digests is not None:
        digest.update(splits.digests[part.locate_rows(np.arange(len(part)))].tobytes())
    else:
        for images in part.iterate_images():
            digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(part.labels).data)
