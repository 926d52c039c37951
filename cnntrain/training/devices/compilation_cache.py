"""Keep what XLA has compiled in the user's cache folder, so that the next run starts sooner.

Each kind of machine has a folder of its own, below $XDG_CACHE_HOME/cnntrain/compiled. Its name is a
hash of what compiled code depends on: TensorFlow's cache knows neither its own version, nor the
GPU, nor the flags of XLA, and JAX's does not know the CPU. TensorFlow's is used for GPUs only: on a
CPU XLA is off anyway.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnntrain.data.device_memory import run_nvidia_smi

CPU_FACTS = Path("/proc/cpuinfo")
FOLDER_FLAG = "--tf_xla_persistent_cache_directory"
KIND_FLAG = "--tf_xla_persistent_cache_device_types=XLA_GPU_JIT"
# TensorFlow gives a run up if it cannot write what it has compiled: a few megabytes a network.
MIN_FREE_DISK = 2**30


def use_compilation_cache(backend: str) -> None:
    """Let XLA keep what it compiles, unless the user has chosen a folder, or none can be written.

    TensorFlow reads its flags when it first looks for devices, so that this must come before.
    """
    if backend == "jax":
        import jax

        if find_active_cache(backend) is None and (folder := make_cache_folder([])):
            jax.config.update("jax_compilation_cache_dir", str(folder))
    elif FOLDER_FLAG not in os.environ.get("TF_XLA_FLAGS", ""):
        gpus = run_nvidia_smi("name", "driver_version")
        folder = make_cache_folder(gpus) if gpus else None
        if folder is not None and not re.search(r"\s", str(folder)):  # which separates flags
            add_flags("TF_XLA_FLAGS", f"{FOLDER_FLAG}={folder}", KIND_FLAG)


def find_active_cache(backend: str) -> str | None:
    """Return the folder in which the backend keeps what it compiles, or None."""
    if backend == "jax":
        return get_jax_setting("jax_compilation_cache_dir") or None
    match = re.search(rf"{FOLDER_FLAG}=(\S+)", os.environ.get("TF_XLA_FLAGS", ""))
    return match[1] if match else None


def make_cache_folder(gpus: Sequence[Sequence[str]]) -> Path | None:
    """Make and return the folder for this machine and `gpus`.

    Returns None if it cannot be written, or if there is little room on its disk.
    """
    facts = [read_cpu_facts(), gpus, version("tensorflow"), os.environ.get("XLA_FLAGS")]
    name = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "cnntrain" / "compiled" / name
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        return folder if shutil.disk_usage(folder).free > MIN_FREE_DISK else None
    except (OSError, RuntimeError):  # RuntimeError: nobody knows the user's home
        return None


def read_cpu_facts() -> dict[str, str]:
    """Return what Linux says of the first processor, by name; empty on other systems."""
    try:
        first = CPU_FACTS.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    return {name: facts[name] for name in ("model name", "flags") if name in facts}


def add_flags(variable: str, *flags: str) -> None:
    """Add flags to a variable of the environment; a flag that it sets already stays as it is."""
    present = os.environ.get(variable, "")
    new = [flag for flag in flags if flag.partition("=")[0] not in present]
    if new:
        os.environ[variable] = " ".join([present, *new]).strip()


def get_jax_setting(name: str) -> Any:
    """Return the value of a setting of JAX, whose type stubs do not know it."""
    import jax

    return getattr(jax.config, name)
