"""What memory and cores there are: of GPUs, of the machine, and what a container leaves of it.

What a run holds in memory is refused by `check_memory` before it is made, where it would not fit.
"""

import csv
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from cnntrain.errors import SpecError
from cnntrain.terminal.units import format_size

MIB = 2**20
# The cgroup files of a container: its limit, its usage, and statistics with the reclaimable cache.
CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat"),  # version 2
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
NVIDIA_SMI = "nvidia-smi"
NVIDIA_SMI_TIMEOUT = 10  # seconds for the driver to answer


@dataclass(frozen=True)
class DeviceMemory:
    """The memory of a device in bytes: all, and what is free now."""

    name: str
    total: int
    free: int
    is_gpu: bool


def count_cores() -> int:
    """Return how many processors this process may use; by default TensorFlow uses them all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def query_gpus() -> list[DeviceMemory]:
    """Return the GPUs that the driver knows of, whether TensorFlow can use them or not."""
    return [
        DeviceMemory(name, int(total) * MIB, int(free) * MIB, True)
        for name, total, free in run_nvidia_smi("name", "memory.total", "memory.free")
        if total.isdigit() and free.isdigit()
    ]


def run_nvidia_smi(*fields: str) -> list[list[str]]:
    """Return these fields of each GPU as NVIDIA's driver tells them; no GPU where it does not.

    The driver's own program is run, and nvidia-ml-py is not used, for two reasons: the program can
    be given up when the driver hangs, which would take this process with it, and a machine without
    a GPU needs no package.
    """
    if shutil.which(NVIDIA_SMI) is None:
        return []
    command = [NVIDIA_SMI, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT, check=True
        ).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    rows = csv.reader(answer.splitlines(), skipinitialspace=True)
    return [row for row in rows if len(row) == len(fields)]


def read_machine_memory(cgroup_root: Path = Path("/sys/fs/cgroup")) -> DeviceMemory:
    """Return the machine's memory, or what its container may have of it."""
    found = psutil.virtual_memory()
    total, free = found.total, found.available
    for names in CGROUP_FILES:
        limit, used, stat = (cgroup_root / name for name in names)
        try:
            allowed = int(limit.read_text())
            left = allowed - int(used.read_text()) + parse_cached_bytes(stat.read_text())
        except (OSError, ValueError):  # no such version, or no limit: "max"
            continue
        if allowed < total:
            return DeviceMemory("container", allowed, min(free, max(0, left)), False)
    return DeviceMemory("machine", total, free, False)


def parse_cached_bytes(stat: str) -> int:
    """Return the bytes that the system would give back: pages of files that are read no more."""
    facts = dict(line.split() for line in stat.splitlines() if len(line.split()) == 2)
    return int(facts.get("inactive_file", facts.get("total_inactive_file", 0)))


@dataclass(frozen=True)
class MemoryShare:
    """The part of the free memory, or of all that the machine has, that one thing may take."""

    fraction: float
    of_total: bool = False


# The rest is left for the copies that are made while each is used.
ENCODED_SHARE = MemoryShare(0.6)  # photos as they are encoded: they are decoded batch by batch
IMAGES_SHARE = MemoryShare(0.4)  # decoded images: cutting and feeding them takes copies
FEATURES_SHARE = MemoryShare(0.3)  # features of frozen layers: they are copied once made
WEIGHTS_SHARE = MemoryShare(1.0, of_total=True)  # more does not fit even without other programs


def fits_memory(needed: int, share: MemoryShare) -> bool:
    """Return whether so many bytes are within a share of the machine's memory."""
    machine = read_machine_memory()
    return needed <= share.fraction * (machine.total if share.of_total else machine.free)


def check_memory(
    what: str, needed: int, share: MemoryShare, expected: str, remedy: str | None = None
) -> None:
    """Refuse `what`, which takes so many bytes of the machine's memory, beyond its share.

    Raises SpecError with what is needed, what there is, and the remedy.
    """
    if not fits_memory(needed, share):
        machine = read_machine_memory()
        room = machine.total if share.of_total else machine.free
        where = "that this machine has" if share.of_total else "that are free"
        raise SpecError(
            f"{what} take {format_size(needed)}, and at most {format_size(share.fraction * room)} "
            f"of the {format_size(room)} {where} may be used for them",
            expected,
            remedy,
        )
