"""Photos that processes decode are those that threads decode, however they come to the run."""

import gc
import multiprocessing
import os
import signal
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnntrain.data.photos import decoding_processes, shared_memory
from cnntrain.data.photos.decoding_processes import (
    GRACE_SECONDS,
    get_process_pool,
    set_decoding_processes,
    start_processes,
)
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.photos.readers import FileReader
from cnntrain.errors import SpecError
from helpers import odd

COUNT, DECODERS = 150, 2
FRAME = Frame((12, 16), 3, "stretch", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        odd.picture(number, 20, 16).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def images(folder):
    names = [f"{number}.png" for number in range(COUNT)]
    return LazyImages(Photos(names, FileReader(str(folder), names)), FRAME)


@pytest.fixture(scope="module")
def expected(images):
    """All images, decoded by threads."""
    set_decoding_processes(0)
    return images[np.arange(COUNT)]


@pytest.fixture(autouse=True)
def decoders(expected):
    set_decoding_processes(DECODERS)
    yield
    set_decoding_processes(0)


def draw_batches(sizes):
    random = np.random.default_rng(len(sizes))
    return [random.integers(0, COUNT, size) for size in sizes]


def refuse_memory(monkeypatch):
    monkeypatch.setattr(shared_memory, "find_free_memory", lambda size: None)
    monkeypatch.setattr(shared_memory, "create_memory", lambda size: None)


def hide_memory(monkeypatch):
    address = shared_memory.MemoryAddress("/proc/self/fd/1000", 0, 0)
    monkeypatch.setattr(shared_memory.SharedMemory, "address", address)


@pytest.mark.parametrize("hinder", [lambda _: None, refuse_memory, hide_memory])
def test_batches_of_any_size_are_those_of_threads_and_stay_as_they_are(
    images, expected, hinder, monkeypatch
):
    hinder(monkeypatch)
    batches = draw_batches([1, 2, 3, 16, 63, 64, 65, 129, 300, 7, 1])
    held = [images[rows] for rows in batches]
    for rows, found in zip(batches, held, strict=True):
        assert np.array_equal(found, expected[rows])


def test_threads_that_ask_at_once_each_get_their_own_batches(images, expected):
    batches = draw_batches(range(1, 60))
    with ThreadPoolExecutor(4) as threads:
        held = list(threads.map(images.__getitem__, batches))
    for rows, found in zip(batches, held, strict=True):
        assert np.array_equal(found, expected[rows])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such memory")
def test_all_pixels_come_through_shared_memory(images, monkeypatch):
    def read(memory, start, pixels):
        read_plainly(memory, start, pixels)
        places.extend(range(start, start + pixels.size))

    places, read_plainly = [], shared_memory.SharedMemory.read
    monkeypatch.setattr(shared_memory.SharedMemory, "read", read)
    found = images[np.arange(40)]
    assert places == list(range(found.size))


def test_a_batch_is_right_after_one_that_failed(images, expected, folder):
    gone = folder / "3.png"
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(OSError, match="No such file"):
        _ = images[np.arange(100)]
    assert np.array_equal(images[np.arange(50, 150)], expected[50:])
    gone.write_bytes(content)
    assert np.array_equal(images[np.arange(100)], expected[:100])


def test_a_decoding_process_that_is_killed_is_answered(images, expected):
    """The others end, no other child of this process does, and photos can be decoded again."""

    def decode_for_ever():  # until the death is noticed
        while True:
            _ = images[np.arange(10)]

    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    pool = get_process_pool(DECODERS)
    os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
    with pytest.raises(SpecError, match="has been killed") as caught:
        decode_for_ever()
    assert caught.value.hint == "decoders=1"
    killed = time.monotonic()
    pool.shutdown()
    assert time.monotonic() - killed < GRACE_SECONDS
    assert other.is_alive()
    other.kill()
    assert np.array_equal(images[np.arange(10)], expected[:10])


@pytest.fixture
def slow_pool(monkeypatch):
    """Let a pool take a while to start, without a process; return the weak references to all."""
    started = []

    class SlowPool:
        def __init__(self, *_, **__):
            started.append(weakref.ref(self))
            time.sleep(0.05)

        def submit(self, work):
            pass

    monkeypatch.setattr(decoding_processes, "ProcessPoolExecutor", SlowPool)
    start_processes.cache_clear()
    yield started
    start_processes.cache_clear()


def test_threads_that_ask_at_once_share_a_pool(slow_pool):
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(get_process_pool, [2] * 4))) == 1
    assert len(slow_pool) == 1


def test_a_pool_ends_once_another_number_is_asked_for(slow_pool):
    get_process_pool(2)
    get_process_pool(3)
    gc.collect()
    assert [pool() is None for pool in slow_pool] == [True, False]
