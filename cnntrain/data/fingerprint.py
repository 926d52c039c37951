"""Digests of images and labels, which show whether two runs share their data."""

import hashlib
from typing import Any

import numpy as np

from cnntrain.data.photos.lazy_images import ListedImages
from cnntrain.data.source import Examples, Splits

LISTING = "listing:"  # begins a fingerprint of names


def compute_fingerprint(splits: Splits) -> str:
    """Return the sha256 over shapes, images, labels and weights of all splits, in hexadecimal.

    For photos in files it covers the contents of the files instead of the pixels, or their names
    if they are only listed; then it begins with LISTING.
    """
    digest = hashlib.sha256()
    for name, part in splits.items():
        digest.update(f"{name}{(len(part), *splits.image_shape)}".encode())
        add_to_digest(digest, splits, part)
        if part.weights is not None:
            digest.update(np.ascontiguousarray(part.weights).data)
    return format_digest(digest, splits)


def compute_evaluation_fingerprints(splits: Splits) -> dict[str, str]:
    """Return the sha256 over the images and labels of each evaluation split, valid and test.

    Only runs that share it are ranked together. For photos in files it does not depend on the size
    that they are resized to.
    """
    fingerprints = {}
    for name, part in splits.items():
        if name != "train":
            add_to_digest(digest := hashlib.sha256(), splits, part)
            fingerprints[name] = format_digest(digest, splits)
    return fingerprints


def has_only_names(splits: Splits) -> bool:
    """Return whether nothing is known of photos but their names."""
    return splits.digests is None and isinstance(splits.train.store, ListedImages)


def format_digest(digest: Any, splits: Splits) -> str:
    """Return a digest in hexadecimal, with a mark if it is of names only."""
    return LISTING * has_only_names(splits) + digest.hexdigest()


def add_to_digest(digest: Any, splits: Splits, part: Examples) -> None:
    """Add the images and the labels of a split to a digest."""
    if has_only_names(splits):
        assert splits.names is not None
        names = [splits.names[row] for row in part.locate_rows(np.arange(len(part)))]
        digest.update("\0".join(names).encode())
    elif splits.digests is not None:
        digest.update(splits.digests[part.locate_rows(np.arange(len(part)))].tobytes())
    else:
        for images in part.iterate_images():
            digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(part.labels).data)
