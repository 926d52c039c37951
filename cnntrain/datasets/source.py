"""What a data set is made of: examples in memory, and the splits that training uses."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """Images (N, H, W, C) uint8 with their labels (N,) int32; random access by index."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: np.ndarray) -> "Examples":
        return Examples(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Source:
    """A data set as its makers cut it: a part that they did not cut is None."""

    train: Examples
    valid: Examples | None
    test: Examples | None
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """Three parts that never share an example; `origin` says where each comes from."""

    train: Examples
    valid: Examples
    test: Examples
    class_names: tuple[str, ...]
    origin: dict[str, str]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    def items(self) -> list[tuple[str, Examples]]:
        return [("train", self.train), ("valid", self.valid), ("test", self.test)]
