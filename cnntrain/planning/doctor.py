"""The checks of `cnntrain doctor`, a function each; a finding with a `fix` is something wrong."""

import ctypes
import importlib.metadata
import math
import platform
import shutil
import site
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cnntrain.data.device_memory import query_gpus, read_machine_memory
from cnntrain.data.inventory import HERE_WORDS, list_datasets
from cnntrain.files.paths import expand_folder
from cnntrain.runs.directory import claim_temporary_run
from cnntrain.runs.environment import PACKAGES
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.units import format_duration, format_size

GIB = 2**30
MIN_FREE_MEMORY, MIN_FREE_DISK = 2 * GIB, GIB  # TensorFlow alone takes 0.8 GiB
# The libraries that TensorFlow loads to use a GPU. NVIDIA's driver brings DRIVER, and the extra
# cnntrain[gpu] the others.
DRIVER = "libcuda.so.1"
LIBRARIES = {
    "cuda_version": ("libcudart.so.{}", "libcublas.so.{}", "libcublasLt.so.{}"),
    "cudnn_version": ("libcudnn.so.{}",),
}
# These have version numbers of their own, so that any version counts.
OTHER_LIBRARIES = ("libcufft.so", "libcusparse.so", "libcusolver.so")
# Systems on which TensorFlow uses no GPU: what there is to know, and what can be done.
UNUSED_GPUS = {
    "darwin": "TensorFlow does not use Apple's: training is on the CPU. Apple's plugin, "
    "tensorflow-metal, is reported to fail with TensorFlow 2.18 and later",
    "win32": "TensorFlow uses none on Windows since 2.11: training is on the CPU. Within WSL2, "
    "which is Linux, it does: pip install 'cnntrain[gpu]' there",
}
UNKNOWN_FIX = "report this, with the output of cnntrain doctor --json"
TRIAL_OVERRIDES = ["epochs=1", "batch_size=32", "max_steps=40", "log_every=20"]


@dataclass(frozen=True)
class Finding:
    """What was checked, what it showed, and how to put it right (None where all is well)."""

    what: str
    said: str
    fix: str | None = None


def run_checks(spec: Spec, config_dir: str | None) -> Iterator[Finding]:
    """Yield the finding of each check; a check that raises is a finding, too, and not the end."""
    checks: dict[str, Callable[[], Finding]] = {
        "python": check_python,
        "packages": check_packages,
        "tensorflow": check_tensorflow,
        "device": lambda: check_device(spec),
        "gpu": check_gpu,
        "memory": check_memory,
        "disk": check_disk,
        "data": lambda: check_data_sets(spec, config_dir),
        "training": check_training,
    }
    for what, check in checks.items():
        try:
            yield check()
        except Exception as error:
            yield Finding(what, f"{type(error).__name__}: {error}", UNKNOWN_FIX)


def check_python() -> Finding:
    said = f"{platform.python_version()} on {platform.platform()}, {sys.executable}"
    return Finding("python", said)


def check_packages() -> Finding:
    """Report the versions of the packages that a run needs, and those that are not installed."""
    installed, missing = list[str](), list[str]()
    for name in PACKAGES:
        try:
            installed.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    fix = f"pip install {' '.join(missing)}" if missing else None
    return Finding("packages", ", ".join(installed), fix)


def check_tensorflow() -> Finding:
    began = time.perf_counter()
    with silence_stderr():
        import tensorflow as tf
    seconds = time.perf_counter() - began
    return Finding("tensorflow", f"{tf.__version__} loads in {format_duration(seconds)}")


def check_device(spec: Spec) -> Finding:
    """Report what is decided for the device that would train: XLA, determinism, precision."""
    with silence_stderr():
        from cnntrain.training.devices.device import decide_for_device
        from cnntrain.training.devices.setup import configure_backend
    configure_backend(spec)
    return Finding("device", decide_for_device(spec).line.removeprefix("device: "))


def check_gpu() -> Finding:
    """Report the GPUs that the driver lists, and whether TensorFlow sees them."""
    import tensorflow as tf

    gpus, seen = query_gpus(), tf.config.list_physical_devices("GPU")
    names = ", ".join(f"{gpu.name} with {format_size(gpu.total)}" for gpu in gpus)
    if seen:
        return Finding("gpu", f"TensorFlow sees {len(seen)}: {names or 'of no known name'}")
    if sys.platform in UNUSED_GPUS:  # seen by nvidia-smi or not
        return Finding("gpu", UNUSED_GPUS[sys.platform])
    if not gpus:
        why = "no nvidia-smi" if shutil.which("nvidia-smi") is None else "nvidia-smi lists none"
        return Finding("gpu", f"none here ({why}): training is on the CPU")
    return explain_unseen_gpu(names, tf.sysconfig.get_build_info())


def explain_unseen_gpu(names: str, build: Mapping[str, object]) -> Finding:
    """Return the finding that says why TensorFlow, as built, does not see the GPUs `names`."""
    said = f"{names}, which TensorFlow does not see"
    if not build.get("is_cuda_build"):
        return Finding("gpu", f"{said}: it was built without CUDA", "pip install 'cnntrain[gpu]'")
    if not is_library_loadable(DRIVER):
        fix = "install NVIDIA's driver; in a container, start it with --gpus all"
        return Finding("gpu", f"{said}: {DRIVER} is missing", fix)
    if missing := [name for name in list_cuda_libraries(build) if not is_library_loadable(name)]:
        fix = "pip install 'cnntrain[gpu]'"
        return Finding("gpu", f"{said}: {', '.join(missing)} missing", fix)
    fix = "is CUDA_VISIBLE_DEVICES empty? Is the driver older than TensorFlow's CUDA?"
    return Finding("gpu", f"{said}, though all libraries are there", fix)


def list_cuda_libraries(build: Mapping[str, object]) -> list[str]:
    """Return the libraries that this TensorFlow was built for, such as libcudart.so.12."""
    major = {key: str(build.get(key, "")).split(".")[0] for key in LIBRARIES}
    exact = [name.format(major[key]) for key, names in LIBRARIES.items() for name in names]
    return [*exact, *OTHER_LIBRARIES]


def is_library_loadable(name: str) -> bool:
    """Return whether the system finds a library, or a package from pip contains it."""
    try:
        ctypes.CDLL(name)
    except OSError:
        homes = [Path(home) / "nvidia" for home in site.getsitepackages()]
        return any(True for home in homes for _ in home.glob(f"*/lib/{name}*"))
    return True


def check_memory() -> Finding:
    memory = read_machine_memory()
    said = f"{format_size(memory.free)} of {format_size(memory.total)} are free ({memory.name})"
    little = memory.free < MIN_FREE_MEMORY
    return Finding("memory", said, "end other programs, or train elsewhere" if little else None)


def check_disk() -> Finding:
    """Report the free disk space in the working directory and for temporary files."""
    places = {"here": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    free = {what: shutil.disk_usage(path).free for what, path in places.items()}
    said = ", ".join(f"{format_size(size)} free for {what}" for what, size in free.items())
    little = min(free.values()) < MIN_FREE_DISK
    return Finding("disk", said.replace("for here", "here"), "make room" if little else None)


def check_data_sets(spec: Spec, config_dir: str | None) -> Finding:
    """Report the data sets that are here, the digits at least; a missing one is no fault."""
    manual_dir = expand_folder(spec.manual_dir, "manual_dir") if spec.manual_dir else None
    entries = list_datasets(expand_folder(spec.data_dir, "data_dir"), manual_dir, config_dir)
    here = [f"{e.option} ({HERE_WORDS[e.here]})" for e in entries if e.here not in ("no", "needs")]
    return Finding("data", f"{', '.join(here)}; data_dir={spec.data_dir}")


def check_training() -> Finding:
    """Train LeNet-5 on the digits for a few steps: it must learn, be saved, and be read back."""
    began = time.perf_counter()
    with silence_stderr():
        import keras

        from cnntrain.training.loop import SilentProgress
        from cnntrain.training.trainer import train_run
    config = compose_config(TRIAL_OVERRIDES).config
    with claim_temporary_run(config, TRIAL_OVERRIDES) as run:
        report = train_run(build_spec(config), run, SilentProgress())
        assert report is not None  # there is one worker
        keras.models.load_model(run.final)
    seconds, loss = time.perf_counter() - began, report["test"]["final"]["loss"]
    said = f"{report['steps']} steps of LeNet-5 in {format_duration(seconds)}, test loss {loss:.2f}"
    learnt = math.isfinite(loss) and loss < math.log(10)
    return Finding("training", said, None if learnt else "it did not learn: reinstall TensorFlow")
