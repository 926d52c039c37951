"""The machine and the versions that figures of a benchmark belong to."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import keras

from cnntrain.runs.environment import describe_environment
from cnntrain.training.devices.device import inspect_device

PEERS = ("torch", "onnxruntime")


def describe_machine() -> dict[str, Any]:
    """Return the names of the processor and of GPUs, and the versions of what was measured."""
    environment, device = describe_environment(), inspect_device()
    versions = environment["versions"] | {
        name: version for name in PEERS if (version := find_version(name)) is not None
    }
    return {
        "processor": read_processor_name(),
        "threads": device.threads,
        "gpus": list(device.gpus),
        "kind": "GPU" if device.gpus else "CPU",
        "backend": keras.backend.backend(),
        "platform": environment["platform"],
        "git": environment["git"],
        "versions": versions,
    }


def find_version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def read_processor_name() -> str:
    """Return the name of the processor as its maker writes it, or the best that Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
