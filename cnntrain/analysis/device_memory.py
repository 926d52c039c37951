"""What memory there is: of each GPU, of the machine, and what a container leaves of it."""

import csv
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 2**20
# The files in which a container's limit, its use, and what of that is only cached stand.
CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat"),  # version 2
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
NVIDIA_SMI = "nvidia-smi"
PATIENCE = 10  # seconds for the driver to answer


@dataclass(frozen=True)
class DeviceMemory:
    """The memory of a device in bytes: all, and what is free now."""

    name: str
    total: int
    free: int
    is_gpu: bool


def detect_devices() -> list[DeviceMemory]:
    """The GPUs, of which training uses the first, or else the machine."""
    return query_gpus() or [read_machine_memory()]


def query_gpus() -> list[DeviceMemory]:
    """The GPUs that the driver knows of, whether TensorFlow can use them or not."""
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
            command, capture_output=True, text=True, timeout=PATIENCE, check=True
        ).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    rows = csv.reader(answer.splitlines(), skipinitialspace=True)
    return [row for row in rows if len(row) == len(fields)]


def read_machine_memory(groups: Path = Path("/sys/fs/cgroup")) -> DeviceMemory:
    """The machine's memory, or what its container may have of it."""
    found = psutil.virtual_memory()
    total, free = found.total, found.available
    for names in CGROUP_FILES:
        limit, used, stat = (groups / name for name in names)
        try:
            allowed = int(limit.read_text())
            left = allowed - int(used.read_text()) + parse_cached_bytes(stat.read_text())
        except (OSError, ValueError):  # no such version, or no limit: "max"
            continue
        if allowed < total:
            return DeviceMemory("container", allowed, min(free, max(0, left)), False)
    return DeviceMemory("machine", total, free, False)


def parse_cached_bytes(stat: str) -> int:
    """What the system would give back: pages of files that are read no more."""
    facts = dict(line.split() for line in stat.splitlines() if len(line.split()) == 2)
    return int(facts.get("inactive_file", facts.get("total_inactive_file", 0)))
