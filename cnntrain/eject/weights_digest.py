"""The digest of a network's weights, by which two trainings are compared."""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np


def compute_weights_digest(arrays: Iterable[np.ndarray]) -> str:
    """Return a digest of all weights of a network, whatever their order."""
    digests = sorted(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays)
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def read_weights_digest(file: Path) -> str:
    """Return the digest of the weights in a `.keras` file."""
    with zipfile.ZipFile(file) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    names = list[str]()
    with h5py.File(content) as weights:
        weights.visit(names.append)
        datasets = [weights[name] for name in names if isinstance(weights[name], h5py.Dataset)]
        return compute_weights_digest(np.asarray(dataset) for dataset in datasets)
