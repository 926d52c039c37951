"""Memory that processes share: what is written is read, and nobody writes into another's."""

import os
import sys

import numpy as np
import pytest

from cnntrain.data.photos import shared_memory
from cnntrain.data.photos.shared_memory import borrow_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such memory")


@pytest.fixture(autouse=True)
def no_free_memory(monkeypatch):
    monkeypatch.setattr(shared_memory, "_free", [])


def make_pixels(seed):
    return np.random.default_rng(seed).integers(0, 256, (3, 4, 5, 3), np.uint8)


def test_what_is_written_at_a_place_is_read_there():
    first, second = make_pixels(1), make_pixels(2)
    with borrow_memory(2 * first.size) as memory:
        assert memory.address.write(first.size, second)
        assert memory.address.write(0, first)
        for start, expected in ((0, first), (first.size, second)):
            memory.read(start, found := np.empty_like(expected))
            assert np.array_equal(found, expected)


def test_memory_is_lent_again_but_never_to_two_at_once():
    with borrow_memory(100) as first, borrow_memory(100) as second:
        assert first.address != second.address
    with borrow_memory(80) as third, borrow_memory(80) as fourth:
        assert {third, fourth} == {first, second}
    with borrow_memory(101) as larger:
        assert larger not in (first, second)
        assert shared_memory._free == []  # those that are too small are closed


def test_who_writes_after_a_failure_changes_nothing(tmp_path):
    def fail(addresses):
        with borrow_memory(100) as memory:
            addresses += [memory.address, memory.descriptor]
            raise KeyError

    found = []
    with pytest.raises(KeyError):
        fail(found)
    address, number = found
    assert shared_memory._free == []
    assert not address.write(0, make_pixels(0))
    file = tmp_path / "checkpoint"
    file.write_bytes(b"whole")
    with file.open("r+b") as opened:  # it has the number of the file that was closed
        assert opened.fileno() == number
        assert not address.write(0, make_pixels(0))
    assert file.read_bytes() == b"whole"


def test_large_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr(shared_memory, "KEPT_BYTES", 99)
    with borrow_memory(100) as memory:
        address = memory.address
    assert shared_memory._free == []
    assert not address.write(0, make_pixels(0))


def test_without_such_files_there_is_none(monkeypatch):
    def refuse(name):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with borrow_memory(100) as memory:
        assert memory is None
