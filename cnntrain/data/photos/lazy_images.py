"""Photos that are decoded each time they are asked for, in as many processes as there are cores.

Photos that are in no files of their own, such as those in a zip, are decoded by threads.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Self

import numpy as np

from cnntrain.data.photos.decode import PHOTOS_AT_ONCE
from cnntrain.data.photos.decoding_processes import (
    DecodedPart,
    Known,
    answer_killed_process,
    decode_part,
    find_pool,
    lend_memory,
)
from cnntrain.data.photos.photo import ChooseBox, Frame, Photos, draw_crop_box
from cnntrain.data.photos.photo_index import PhotoIndex
from cnntrain.data.photos.readers import FileFacts, FileReader
from cnntrain.errors import SpecError

PARTS_PER_WORKER = 2  # of a batch: more share the work out better, and each costs the run 0.2 ms


class LazyImages:
    """Photos as images (N, H, W, C) uint8."""

    def __init__(self, photos: Photos, frame: Frame):
        self.photos, self.frame = photos, frame

    def reframe(self, frame: Frame) -> Self:
        """Return the same photos in another frame."""
        other = copy.copy(self)
        other.frame = frame
        return other

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.photos), *self.frame.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.decode_rows(rows, [None] * len(rows))

    def decode_rows(self, rows: np.ndarray, choose_boxes: Sequence[ChooseBox | None]) -> np.ndarray:
        """Return the images of `rows` (B,) as (B, H, W, C) uint8, each cropped to its box."""
        images, broken = self.decode_once(rows, choose_boxes)
        rows = rows.copy()
        while broken:
            places = list(broken)
            for place, why in broken.items():
                rows[place] = self.replace_broken(int(rows[place]), why)
            boxes = [choose_boxes[place] for place in places]
            images[places], found = self.decode_once(rows[places], boxes)
            broken = {places[n]: why for n, why in found.items()}
        return images

    def decode_once(
        self, rows: np.ndarray, choose_boxes: Sequence[ChooseBox | None]
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Return the images of `rows` (B,), and the reasons of the broken ones by place.

        Raises SpecError if a process that decodes has been killed.
        """
        pool, workers = find_pool(self.photos)
        size = min(math.ceil(len(rows) / (workers * PARTS_PER_WORKER)), PHOTOS_AT_ONCE)
        step = math.prod(self.frame.shape)  # bytes of an image
        images, broken = np.empty((len(rows), *self.frame.shape), np.uint8), dict[int, str]()
        parts = list[tuple[int, list[int], Known, Future[DecodedPart]]]()
        with answer_killed_process(), lend_memory(pool, len(rows) * step) as memory:
            address = None if memory is None else memory.address
            for start in range(0, len(rows), size):
                own, boxes = rows[start : start + size].tolist(), choose_boxes[start : start + size]
                known, read = self.find_facts(own), self.photos.pick(own).read
                job = pool.submit(
                    decode_part, read, self.frame, boxes, known, address, start * step
                )
                parts.append((start, own, known, job))
            for start, own, known, job in parts:
                part = job.result()
                if part.pixels is not None:
                    images[start : start + size] = part.pixels
                elif memory is not None:
                    memory.read(start * step, images[start : start + size])
                broken |= {start + place: why for place, why in part.broken.items()}
                self.keep_facts(own, known, part.seen)
        return images, broken

    def replace_broken(self, row: int, why: str) -> int:
        """Return the row of the photo that takes the place of a broken one; here it raises OSError.

        All photos were whole when the run began.
        """
        raise OSError(f"{self.photos.names[row]} is no image any more: {why}")

    def find_facts(self, rows: Sequence[int]) -> Known:
        """Return what is known of the files of some rows; None if nobody wants to know."""
        return None

    def keep_facts(self, rows: Sequence[int], known: Known, seen: Mapping[int, FileFacts]) -> None:
        """Take note of the files of some rows of which more is `seen`, by place, than was known."""


class RandomCrops(LazyImages):
    """`LazyImages`, randomly cropped during training."""

    def draw_crops(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return a random crop of each of the images `rows` (B,), as (B, H, W, C) uint8."""
        return self.decode_rows(rows, [draw_crop_box(random) for _ in rows])


class ListedImages(LazyImages):
    """Photos of which nothing was known but their names when the run began.

    In place of one that turns out to be broken comes its follower, the next of its class in its
    split: `followers` (N,) has the rows. So a batch stays a function of the spec and the step.
    `replaced` has the reasons by row, `changed` the rows of files whose contents are others than
    when they were first read.
    """

    def __init__(self, photos: Photos, frame: Frame, index: PhotoIndex | None):
        super().__init__(photos, frame)
        self.files = photos.read if isinstance(photos.read, FileReader) else None
        self.index, self.followers = index, np.arange(len(photos))
        self.replaced, self.changed = dict[int, str](), set[int]()

    def replace_broken(self, row: int, why: str) -> int:
        """Return the first follower that is not known to be broken; SpecError if there is none."""
        self.replaced[row] = why
        follower = int(self.followers[row])
        while follower in self.replaced:
            if follower == row:
                raise SpecError(
                    f"no file of the class of {self.photos.names[row]} is an image ({why})",
                    "files that can be decoded",
                )
            follower = int(self.followers[follower])
        return follower

    def to_facts(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the photos that were found broken or changed."""
        return {"replaced": [*self.replaced.items()], "changed": sorted(self.changed)}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take over what `to_facts` has returned."""
        self.replaced |= {int(row): str(why) for row, why in facts["replaced"]}
        self.changed |= set(map(int, facts["changed"]))

    def find_facts(self, rows: Sequence[int]) -> Known:
        if self.index is None or self.files is None:
            return None
        return self.index.find_files([self.files.paths[row] for row in rows])

    def keep_facts(self, rows: Sequence[int], known: Known, seen: Mapping[int, FileFacts]) -> None:
        if self.index is None or self.files is None or known is None:
            return
        for place, facts in seen.items():
            before = known[place]
            if before is not None and before.digest != facts.digest:
                self.changed.add(rows[place])
        self.index.add_files({self.files.paths[rows[n]]: facts for n, facts in seen.items()})


class ListedCrops(ListedImages, RandomCrops):
    """`ListedImages`, randomly cropped during training."""
