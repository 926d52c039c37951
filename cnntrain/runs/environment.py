"""The environment that a run's numbers depend on: versions, backend, commit, machine."""

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = (
    "cnntrain", "tensorflow", "keras", "numpy", "tensorflow-datasets", "scikit-learn", "pillow",
    "hydra-core",
)  # fmt: skip


def format_time_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe_environment() -> dict[str, Any]:
    """Return the environment for run.json, as far as it is known without loading TensorFlow."""
    return {
        "versions": {"python": platform.python_version()}
        | {
            name: importlib.metadata.version(name) for name in [*PACKAGES, *list_backend_packages()]
        },
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "git": read_git_commit(),
        "platform": platform.platform(),
        "processor": read_processor_name(),
        "cpu_count": os.cpu_count(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": sys.argv,
    }


def read_processor_name() -> str:
    """Return the name of the processor as its maker writes it, or the best that Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def list_backend_packages() -> list[str]:
    """Return the packages of the Keras backend, if it is not TensorFlow."""
    return ["jax", "jaxlib"] if os.environ.get("KERAS_BACKEND") == "jax" else []


def read_git_commit() -> dict[str, Any] | None:
    """Return the commit of this checkout, and whether files were changed; None if installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None

    def ask(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    commit = ask("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain"))} if commit else None
