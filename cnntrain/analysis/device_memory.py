"""What memory there is: of each GPU, of the machine, and what a container leaves of it."""

import csv
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 2**20
# The files in which a container's limit, its use, and what of that is only cached stand.
CGROUPS = (
    ("memory.max", "memory.current", "memory.stat"),  # version 2
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
ASK = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Room:
    """The memory of a device in bytes: all, and what is free now."""

    name: str
    total: int
    free: int
    is_gpu: bool


def rooms() -> list[Room]:
    """The GPUs, of which training uses the first, or else the machine."""
    return gpus() or [machine()]


def gpus() -> list[Room]:
    """The GPUs that the driver knows of, whether TensorFlow can use them or not."""
    if shutil.which(ASK[0]) is None:
        return []
    try:
        answer = subprocess.run(ASK, capture_output=True, text=True, timeout=10, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    rows = [row for row in csv.reader(answer.splitlines(), skipinitialspace=True) if len(row) == 3]
    return [
        Room(name, int(total) * MIB, int(free) * MIB, True)
        for name, total, free in rows
        if total.isdigit() and free.isdigit()
    ]


def machine(groups: Path = Path("/sys/fs/cgroup")) -> Room:
    """The machine's memory, or what its container may have of it."""
    found = psutil.virtual_memory()
    total, free = found.total, found.available
    for names in CGROUPS:
        limit, used, stat = (groups / name for name in names)
        try:
            allowed = int(limit.read_text())
            left = allowed - int(used.read_text()) + cached(stat.read_text())
        except (OSError, ValueError):  # no such version, or no limit: "max"
            continue
        if allowed < total:
            return Room("container", allowed, min(free, max(0, left)), False)
    return Room("machine", total, free, False)


def cached(stat: str) -> int:
    """What the system would give back: pages of files that are read no more."""
    facts = dict(line.split() for line in stat.splitlines() if len(line.split()) == 2)
    return int(facts.get("inactive_file", facts.get("total_inactive_file", 0)))
