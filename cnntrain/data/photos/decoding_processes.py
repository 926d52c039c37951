"""The processes that decode photos, and what each of them does with a part of a batch.

Python's own work for a small photo takes as long as decoding it, and threads cannot share that.
"""

import contextlib
import functools
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Literal, NamedTuple

import numpy as np
import psutil

from cnntrain.data.device_memory import count_cores
from cnntrain.data.photos.decode import get_thread_pool, try_to_decode, try_to_read
from cnntrain.data.photos.photo import ChooseBox, Frame, Photos
from cnntrain.data.photos.readers import FileFacts, FileReader
from cnntrain.data.photos.records import RecordReader
from cnntrain.data.photos.shared_memory import MemoryAddress, SharedMemory, borrow_memory
from cnntrain.errors import SpecError

Known = Sequence[FileFacts | None] | None  # of some files; None: nobody wants to know
_process_count = 0
_starting = threading.Lock()  # else threads that ask at once would each start processes
GRACE_SECONDS = 30  # between a signal to end and the end of a decoding process
MAX_WINDOWS_PROCESSES = 61  # of a ProcessPoolExecutor on Windows


class DecodedPart(NamedTuple):
    """Some photos as pixels (b, H, W, C) uint8, black where one is broken.

    `pixels` is None if they are in memory that is shared. `broken` gives the reasons by place.
    `seen` has the facts, by place, of the files that were not known or have changed.
    """

    pixels: np.ndarray | None
    broken: dict[int, str]
    seen: dict[int, FileFacts]


def set_decoding_processes(count: int | Literal["auto"]) -> int:
    """Set how many processes decode photos from now on, and return it: `auto` is one a core."""
    global _process_count
    count = count_cores() if count == "auto" else count
    _process_count = min(count, MAX_WINDOWS_PROCESSES) if sys.platform == "win32" else count
    return _process_count


def find_pool(photos: Photos) -> tuple[Executor, int]:
    """Return what decodes photos, and how many processes, or threads of this one, it has."""
    if isinstance(photos.read, FileReader | RecordReader) and _process_count > 0:
        return get_process_pool(_process_count), _process_count
    return get_thread_pool(), count_cores()


class DecodingProcess(SpawnProcess):
    """A process that decodes photos, told by its class from other children of this process."""


class DecodingContext(SpawnContext):
    """What makes the processes of a pool."""

    Process = DecodingProcess


def get_process_pool(count: int) -> ProcessPoolExecutor:
    """Return processes that decode photos; the first call starts them, and does not wait.

    They end with this process, even if it is killed, or once another number is asked for.
    """
    with _starting:
        return start_processes(count)


@functools.lru_cache(1)
def start_processes(count: int) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(count, DecodingContext(), initializer=follow_parent)
    with hold_interrupts():
        for _ in range(count):
            pool.submit(os.getpid)
    return pool


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let processes that are started in the block take no interrupt, as `follow_parent` says."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def answer_killed_process() -> Iterator[None]:
    """Raise SpecError in place of the error of a pool that has lost a process.

    Who asks again then gets new processes.
    """
    try:
        yield
    except BrokenExecutor as error:
        start_processes.cache_clear()
        for process in multiprocessing.active_children():
            if isinstance(process, DecodingProcess):
                process.kill()  # the pool has asked them to end, which takes GRACE_SECONDS
        raise SpecError(
            "a process that decodes photos has been killed, most likely because memory ran out",
            f"room for {_process_count} of them",
            f"decoders={max(_process_count // 2, 1)}",
        ) from error


def lend_memory(
    pool: Executor, size: int
) -> contextlib.AbstractContextManager[SharedMemory | None]:
    """Give memory that a pool can write into, for the time of a block; None for threads."""
    apart = isinstance(pool, ProcessPoolExecutor)
    return borrow_memory(size) if apart else contextlib.nullcontext()


def decode_part(
    read: Callable[[int], bytes],
    frame: Frame,
    choose_boxes: Sequence[ChooseBox | None],
    known: Known,
    memory: MemoryAddress | None,
    start: int,
) -> DecodedPart:
    """Decode the photos that `read` returns by place into `frame`, each cropped to its box.

    `known` has what is known of their files; if it is None, nobody wants to know. The pixels are
    written to `memory` from the byte `start` on, if there is any. Raises OSError where a file has
    gone, or its disk.
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
    is_written = memory is not None and memory.write(start, pixels)
    return DecodedPart(None if is_written else pixels, broken, seen)


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
