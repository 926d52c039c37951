"""What tests read of the directory of a run."""

import csv
from pathlib import Path

import numpy as np

# A run of eight steps on the digits: two epochs of four.
SHORT = ("epochs=2", "dataset.limit=128", "batch_size=32")


def load_weights(path: Path) -> list[np.ndarray]:
    """All arrays of a .keras file."""
    import keras

    return [variable.numpy() for variable in keras.models.load_model(path, compile=False).weights]


def are_equal(ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    """Whether two lists of arrays are the same, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def read_rows(run, name: str = "history.csv") -> list[dict[str, float]]:
    """The rows of a table of numbers of a `Run`."""
    with (run.folder / name).open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
