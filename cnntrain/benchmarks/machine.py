"""The machine and the versions that figures of a benchmark belong to."""

import importlib.metadata
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
        "processor": environment["processor"],
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
