"""What a data set is made of: examples in memory, and the splits that training uses."""

from dataclasses import dataclass, replace

import numpy as np
import psutil

from cnntrain.errors import SpecError


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
    """Three parts that never share an example; `origin` says where each comes from.

    `valid` is None once it has been merged into train.
    """

    train: Examples
    valid: Examples | None
    test: Examples
    class_names: tuple[str, ...]
    origin: dict[str, str]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    def merged(self) -> "Splits":
        """The same with train and valid as one training part."""
        assert self.valid is not None
        images = np.concatenate([self.train.images, self.valid.images])
        labels = np.concatenate([self.train.labels, self.valid.labels])
        return replace(self, train=Examples(images, labels), valid=None)

    def items(self) -> list[tuple[str, Examples]]:
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return [(name, part) for name, part in parts.items() if part is not None]


def room_for(count: int, size: tuple[int, int], channels: int) -> np.ndarray:
    """Return an array for `count` images, or raise SpecError where they do not fit in memory."""
    needed, free = count * size[0] * size[1] * channels, psutil.virtual_memory().available
    if needed > 0.4 * free:  # cutting and feeding them takes copies
        raise SpecError(
            f"{count:,} images of {size[0]}x{size[1]} take {needed / 2**30:,.1f} GiB "
            f"and {free / 2**30:,.1f} GiB are free",
            "images that fit in memory",
            "smaller images: dataset.size or dataset.image_size",
        )
    return np.empty((count, *size, channels), np.uint8)
