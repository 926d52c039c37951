"""Data sets before and after splitting: where their images are, their splits and labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from cnntrain.data.device_memory import IMAGES_SHARE, check_memory
from cnntrain.data.photos.modes import Span
from cnntrain.data.photos.photo import Photos

CHUNK_BYTES = 2**25  # bytes of images that iterating over a split holds in memory at once


class Images(Protocol):
    """Images (N, H, W, C) by row: an array, a file mapped into memory, or files to decode."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Examples:
    """Images of a store with their labels; the `rows` (n,) of it, None being all.

    `labels` are class numbers (n,) int32 or, where an image may have several labels, (n, classes)
    uint8: 1 for each class that is in the image, else 0. `weights` (n,) float32, above 0, say how
    much an example counts in the training loss beside the others; without them all count alike.
    Evaluation does not look at them.
    """

    store: Images
    labels: np.ndarray
    rows: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: np.ndarray) -> "Examples":
        weights = None if self.weights is None else self.weights[indices]
        return Examples(self.store, self.labels[indices], self.locate_rows(indices), weights)

    @property
    def has_several_labels(self) -> bool:
        """Whether an image may have several labels, or none, and not exactly one."""
        return self.labels.ndim == 2

    def locate_rows(self, indices: np.ndarray) -> np.ndarray:
        """Return the rows of the store that hold the examples `indices`."""
        return indices if self.rows is None else self.rows[indices]

    def gather_images(
        self, indices: np.ndarray, make_random: Callable[[], np.random.Generator] | None = None
    ) -> np.ndarray:
        """Return the images `indices` (B,) as (B, H, W, C) uint8.

        Only a store of random crops calls `make_random`; without it, its crops are central.
        """
        if make_random is not None and hasattr(self.store, "draw_crops"):
            return self.store.draw_crops(self.locate_rows(indices), make_random())
        return self.store[self.locate_rows(indices)]

    def iterate_images(self) -> Iterator[np.ndarray]:
        """Yield all images in order, as arrays (b, H, W, C) of at most CHUNK_BYTES."""
        count = max(1, CHUNK_BYTES // int(np.prod(self.store.shape[1:])))
        for start in range(0, len(self), count):
            yield self.gather_images(np.arange(start, min(start + count, len(self))))

    @property
    def images(self) -> np.ndarray:
        """All images as one array (n, H, W, C)."""
        return self.gather_images(np.arange(len(self)))


@dataclass(frozen=True)
class Source:
    """A data set as its makers divide it: all its images, and the rows of each part.

    `parts` gives the rows of those of `train`, `valid` and `test` that exist; `origin` says in a
    few words how they were made. `skipped` lists the files that are no images, each with the
    reason. `digests` (N,) are the sha256 of the files, and `names` (N,) are what people call them.
    `notes` tell the user how the data set came to be, and `value_range` says which values of 16 and
    32 bits are black and white. `weights` (N,) float32 are those of `Examples`. `groups` has, by
    each name that `dataset.groups` may give, the group (N,) of each image as a text or a number, ""
    for an image that belongs to no other.
    """

    images: Images | Photos
    labels: np.ndarray  # (N,) int32, or (N, classes) uint8: see `Examples`
    class_names: tuple[str, ...]
    parts: Mapping[str, np.ndarray]
    origin: str = "official"
    skipped: Sequence[tuple[str, str]] = ()
    digests: np.ndarray | None = field(default=None, repr=False)
    notes: Sequence[str] = ()
    names: Sequence[str] | None = field(default=None, repr=False)
    value_range: Span | None = None
    weights: np.ndarray | None = field(default=None, repr=False)
    groups: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    def keep_examples(self, wanted: np.ndarray) -> "Source":
        """Return this source without the images for which `wanted` (N,) is false."""
        return replace(self, parts={part: rows[wanted[rows]] for part, rows in self.parts.items()})


@dataclass(frozen=True)
class Splits:
    """The examples of train, valid and test, which never overlap, and where each comes from.

    `origin` says in a few words where each split comes from; that of one that was cut from train
    begins with "cut". `valid` is None if all its images train (`dataset.valid=0`, and in a refit).
    `skipped`, `digests`, `names`, `notes` and `value_range` are those of the `Source`.
    """

    train: Examples
    valid: Examples | None
    test: Examples
    class_names: tuple[str, ...]
    origin: dict[str, str]
    skipped: Sequence[tuple[str, str]] = ()
    digests: np.ndarray | None = field(default=None, repr=False)
    notes: Sequence[str] = ()
    names: Sequence[str] | None = field(default=None, repr=False)
    value_range: Span | None = None

    @property
    def has_several_labels(self) -> bool:
        """Whether an image may have several labels, or none, and not exactly one."""
        return self.train.has_several_labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.train.store.shape[1:]
        return height, width, channels

    def merge_valid(self) -> "Splits":
        """Return these splits with train and valid merged into one training split."""
        assert self.valid is not None
        assert self.valid.store is self.train.store
        both = (self.train, self.valid)
        rows = np.concatenate([part.locate_rows(np.arange(len(part))) for part in both])
        labels = np.concatenate([part.labels for part in both])
        known = [part.weights for part in both if part.weights is not None]
        weights = np.concatenate(known) if known else None
        return replace(self, train=Examples(self.train.store, labels, rows, weights), valid=None)

    def items(self) -> list[tuple[str, Examples]]:
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return [(name, part) for name, part in parts.items() if part is not None]


# Suggestions for images that do not fit in memory.
ARRAY_REMEDIES = "smaller images: dataset.image_size; or fewer: dataset.limit"
PHOTO_REMEDIES = "smaller images: dataset.image_size; or on disk: dataset.cache=disk"


def format_skipped(skipped: Sequence[tuple[str, str]]) -> str:
    """Return text that names every file left out, a line each."""
    count = len(skipped)
    what = "1 file that is no image" if count == 1 else f"{count:,} files that are no images"
    return "\n".join([f"Left out {what}:", *(f"  {name}: {why}" for name, why in skipped)])


def allocate_images(count: int, size: tuple[int, int], channels: int, remedies: str) -> np.ndarray:
    """Return an uninitialised array (count, height, width, channels) uint8 for images of `size`.

    Raises SpecError if they do not fit in memory.
    """
    check_image_memory(count, size, channels, remedies)
    return np.empty((count, *size, channels), np.uint8)


def check_image_memory(count: int, size: tuple[int, int], channels: int, remedies: str) -> None:
    """Raise SpecError, which suggests `remedies`, if images uint8 do not fit in memory."""
    what, needed = f"{count:,} images of {size[0]}x{size[1]}", count * size[0] * size[1] * channels
    check_memory(what, needed, IMAGES_SHARE, "images that fit in memory", remedies)
