"""What a run's numbers depend on beside its spec: versions, backend, commit, machine."""

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
    """What else a run's numbers depend on, as far as it is known without TensorFlow."""
    return {
        "versions": {"python": platform.python_version()}
        | {
            name: importlib.metadata.version(name) for name in [*PACKAGES, *list_backend_packages()]
        },
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "git": read_git_commit(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": sys.argv,
    }


def list_backend_packages() -> list[str]:
    """The packages of a backend that is not TensorFlow."""
    return ["jax", "jaxlib"] if os.environ.get("KERAS_BACKEND") == "jax" else []


def read_git_commit() -> dict[str, Any] | None:
    """The commit of the checkout that runs, and whether it was changed; None if installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None

    def ask(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    commit = ask("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain"))} if commit else None
