"""Photos that are decoded each time they are asked for, in as many processes as there are cores.

Python's own work for a small photo takes as long as decoding it, and threads cannot share that.
Photos that are in no files of their own, such as those in a zip, are decoded by threads.
"""

import copy
import functools
import hashlib
import math
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
import psutil

from cnntrain.data.device_memory import count_cores
from cnntrain.data.photos.decode import (
    PHOTOS_AT_ONCE,
    get_thread_pool,
    try_to_decode,
    try_to_read,
)
from cnntrain.data.photos.photo import ChooseBox, Frame, Photos, draw_crop_box
from cnntrain.data.photos.photo_index import FileFacts, PhotoIndex
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.photos.records import RecordReader
from cnntrain.errors import SpecError

T = TypeVar("T")
Known = Sequence[FileFacts | None] | None  # of some files; None: nobody wants to know
_process_count = 0
GRACE_SECONDS = 30  # between a signal to end and the end of a decoding process
MAX_WINDOWS_PROCESSES = 61  # of a ProcessPoolExecutor on Windows
PARTS_PER_WORKER = 4  # of a batch: one that waits for a slow file does not hold up the others


class DecodedPart(NamedTuple):
    """Some photos as pixels (b, H, W, C) uint8, black where one is broken.

    `broken` gives the reasons by place. `seen` has the facts, by place, of the files that were not
    known or have changed.
    """

    pixels: np.ndarray
    broken: dict[int, str]
    seen: dict[int, FileFacts]


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
        """Return the images of `rows` (B,), and the reasons of the broken ones by place."""
        pool, workers = find_pool(self.photos)
        size = min(math.ceil(len(rows) / (workers * PARTS_PER_WORKER)), PHOTOS_AT_ONCE)
        parts = list[tuple[int, list[int], Known, Future[DecodedPart]]]()
        for start in range(0, len(rows), size):
            own, boxes = rows[start : start + size].tolist(), choose_boxes[start : start + size]
            known, read = self.find_facts(own), self.photos.pick(own).read
            job = pool.submit(decode_part, read, self.frame, boxes, known)
            parts.append((start, own, known, job))
        images, broken = np.empty((len(rows), *self.frame.shape), np.uint8), dict[int, str]()
        for start, own, known, job in parts:
            part = wait_for_result(job)
            images[start : start + size] = part.pixels
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


def wait_for_result(job: Future[T]) -> T:
    """Return the result of a job on photos; raise SpecError if its process was killed."""
    try:
        return job.result()
    except BrokenExecutor as error:
        raise SpecError(
            "a process that decodes photos has been killed, most likely because memory ran out",
            f"room for {_process_count} of them",
            f"decoders={max(_process_count // 2, 1)}",
        ) from error


def decode_part(
    read: Callable[[int], bytes],
    frame: Frame,
    choose_boxes: Sequence[ChooseBox | None],
    known: Known,
) -> DecodedPart:
    """Decode the photos that `read` returns by place into `frame`, each cropped to its box.

    `known` has what is known of their files; if it is None, nobody wants to know. Raises OSError
    where a file has gone, or its disk.
    """
    pixels = np.zeros((len(choose_boxes), *frame.shape), np.uint8)
    broken, seen = dict[int, str](), dict[int, FileFacts]()
    files = read if isinstance(read, FileReader) else None
    for place, choose_box in enumerate(choose_boxes):
        stamp = files.look(place) if files and known is not None else None
        content = try_to_read(read, place)
        if isinstance(content, str):
            broken[place] = content
            continue
        before = known[place] if known else None
        if stamp is not None and (before is None or stamp != before[:2]):
            seen[place] = FileFacts(*stamp, hashlib.sha256(content).digest())
        photo = try_to_decode(content, frame, choose_box)
        if isinstance(photo, str):
            broken[place] = photo
        else:
            pixels[place] = photo.pixels
    return DecodedPart(pixels, broken, seen)


def set_decoding_processes(count: int | Literal["auto"]) -> None:
    """Set how many processes decode photos from now on: `auto` is one a core, 0 none."""
    global _process_count
    count = count_cores() if count == "auto" else count
    _process_count = min(count, MAX_WINDOWS_PROCESSES) if sys.platform == "win32" else count


def find_pool(photos: Photos) -> tuple[Executor, int]:
    """Return what decodes photos, and how many processes, or threads of this one, it has."""
    if isinstance(photos.read, FileReader | RecordReader) and _process_count > 0:
        return get_process_pool(_process_count), _process_count
    return get_thread_pool(), count_cores()


@functools.cache
def get_process_pool(count: int) -> ProcessPoolExecutor:
    """Return processes that decode photos; the first call makes them.

    They end with this process, even if it is killed.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, initializer=follow_parent)


def follow_parent() -> None:
    """Let this process leave an interrupt to its parent, and end with it.

    A signal to end goes to all processes of a job: the parent has some seconds to end well.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(
        signal.SIGTERM, lambda *_: threading.Timer(GRACE_SECONDS, psutil.Process().kill).start()
    )
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    psutil.Process().kill()
