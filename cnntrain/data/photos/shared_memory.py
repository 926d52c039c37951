"""Memory that the processes which decode photos write into, and the run reads from.

To send pixels through a pipe costs the run a tenth of what it takes to decode them. Linux has files
that are only in memory and in no folder (`memfd_create`), so that the size of /dev/shm does not
matter. Where there are none, as on macOS and Windows, pixels are sent.
"""

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

KEPT_BYTES = 2**27  # larger memory is not kept for the next block
_free = list["SharedMemory"]()  # threads may take from it and add to it at once


class MemoryAddress(NamedTuple):
    """How another process opens memory: the name of its file, and what tells it from later ones."""

    name: str
    device: int
    number: int

    def write(self, start: int, pixels: np.ndarray) -> bool:
        """Write an array at the byte `start`; return False if the memory cannot be reached."""
        try:
            with open(self.name, "r+b") as file:  # noqa: PTH123 - Path is slower
                status = os.fstat(file.fileno())
                if (status.st_dev, status.st_ino) != (self.device, self.number):
                    return False
                file.seek(start)
                file.write(pixels.data)
        except OSError:  # a sandbox forbids it, or the memory has been closed
            return False
        return True


class SharedMemory:
    """A file that is only in memory, open as `descriptor`, and its `content` (bytes,) uint8."""

    def __init__(self, descriptor: int, content: np.ndarray):
        self.descriptor, self.content = descriptor, content

    @property
    def address(self) -> MemoryAddress:
        status = os.fstat(self.descriptor)
        name = f"/proc/{os.getpid()}/fd/{self.descriptor}"
        return MemoryAddress(name, status.st_dev, status.st_ino)

    def read(self, start: int, pixels: np.ndarray) -> None:
        """Fill an array with what has been written from the byte `start` on."""
        pixels.reshape(-1)[:] = self.content[start : start + pixels.size]

    def close(self) -> None:
        """Free the memory; who still has its address writes nowhere."""
        os.close(self.descriptor)


@contextlib.contextmanager
def borrow_memory(size: int) -> Iterator[SharedMemory | None]:
    """Give memory of at least `size` bytes for the time of the block; None if none can be shared.

    The next block gets it again, because the system takes longer to find memory than to copy
    pixels. So all that was written must be read by the end of the block. If the block raises,
    somebody may still write, and the memory is closed.
    """
    memory = find_free_memory(size) or create_memory(size)
    try:
        yield memory
    except BaseException:
        if memory is not None:
            memory.close()
        raise
    if memory is not None:
        give_memory_back(memory)


def find_free_memory(size: int) -> SharedMemory | None:
    """Return memory that has been given back and is large enough; close what is too small."""
    with contextlib.suppress(IndexError):
        while True:
            memory = _free.pop()
            if len(memory.content) >= size:
                return memory
            memory.close()
    return None


def give_memory_back(memory: SharedMemory) -> None:
    """Keep memory for the next block, unless it is large."""
    if len(memory.content) > KEPT_BYTES:
        memory.close()
    else:
        _free.append(memory)


def create_memory(size: int) -> SharedMemory | None:
    """Return new memory of `size` bytes; None if there can be none."""
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.memfd_create("pixels")
    except OSError:  # too many files are open, or a sandbox forbids it
        return None
    try:
        os.ftruncate(descriptor, size)
        return SharedMemory(descriptor, np.frombuffer(mmap.mmap(descriptor, size), np.uint8))
    except OSError:
        os.close(descriptor)
        return None
