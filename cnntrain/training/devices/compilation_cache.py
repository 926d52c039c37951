"""Keep what JAX has compiled in the user's cache folder, so that the next run starts sooner.

Each kind of processor has a folder of its own, below $XDG_CACHE_HOME/cnntrain/compiled, because
JAX's cache does not know the CPU. TensorFlow has such a cache too, which saved nothing: on an H100
ResNet-18 took 20.5 s to compile without it and 21.2 s with it.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

CPU_FACTS = Path("/proc/cpuinfo")
MIN_FREE_DISK = 2**30  # bytes: a network takes a few megabytes


def keep_compiled_code() -> None:
    """Let JAX keep what it compiles, unless the user has chosen a folder, or none can be written.

    JAX must not have looked for devices yet.
    """
    import jax

    if not get_jax_setting("jax_compilation_cache_dir") and (folder := make_cache_folder()):
        jax.config.update("jax_compilation_cache_dir", str(folder))


def make_cache_folder() -> Path | None:
    """Make and return the folder for this kind of processor.

    Returns None if it cannot be written, or if there is little room on its disk.
    """
    name = hashlib.sha256(repr(read_cpu_facts()).encode()).hexdigest()[:16]
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


def get_jax_setting(name: str) -> Any:
    """Return the value of a setting of JAX, whose type stubs do not know it."""
    import jax

    return getattr(jax.config, name)
