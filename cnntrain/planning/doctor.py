"""What `cnntrain doctor` looks at, a function each; a finding with a `fix` is something wrong."""

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
from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.runs.directory import Run
from cnntrain.runs.environment import PACKAGES
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.units import format_duration, format_size

GIB = 2**30
MIN_FREE_MEMORY, MIN_FREE_DISK = 2 * GIB, GIB  # TensorFlow alone takes 0.8 GiB
# What TensorFlow loads to use a GPU; the driver brings the first one, cnntrain[gpu] the others.
DRIVER = "libcuda.so.1"
LIBRARIES = {
    "cuda_version": ("libcudart.so.{}", "libcublas.so.{}", "libcublasLt.so.{}"),
    "cudnn_version": ("libcudnn.so.{}",),
}
OTHER_LIBRARIES = ("libcufft.so", "libcusparse.so", "libcusolver.so")  # in versions of their own
TRIAL_OVERRIDES = ["epochs=1", "batch_size=32", "max_steps=40", "log_every=20"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and how to put it right (None: it is)."""

    what: str
    said: str
    fix: str | None = None


def run_checks(asked: Spec, config_dir: str | None) -> Iterator[Finding]:
    """Look at one thing after the other; a look that fails is a finding, not the end."""
    looks: dict[str, Callable[[], Finding]] = {
        "python": check_python,
        "packages": check_packages,
        "tensorflow": check_tensorflow,
        "gpu": check_gpu,
        "memory": check_memory,
        "disk": check_disk,
        "data": lambda: check_data_sets(asked, config_dir),
        "training": check_training,
    }
    for what, look in looks.items():
        try:
            yield look()
        except Exception as error:
            yield Finding(what, f"{type(error).__name__}: {error}", "see above")


def check_python() -> Finding:
    said = f"{platform.python_version()} on {platform.platform()}, {sys.executable}"
    return Finding("python", said)


def check_packages() -> Finding:
    """All packages that a run needs, with their versions."""
    found, lacking = list[str](), list[str]()
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lacking.append(name)
    fix = f"pip install {' '.join(lacking)}" if lacking else None
    return Finding("packages", ", ".join(found), fix)


def check_tensorflow() -> Finding:
    began = time.perf_counter()
    with silence_stderr():
        import tensorflow as tf
    seconds = time.perf_counter() - began
    return Finding("tensorflow", f"{tf.__version__} loads in {format_duration(seconds)}")


def check_gpu() -> Finding:
    """The GPUs that the driver has, and whether TensorFlow sees them."""
    import tensorflow as tf

    there, seen = query_gpus(), tf.config.list_physical_devices("GPU")
    names = ", ".join(f"{one.name} with {format_size(one.total)}" for one in there)
    if seen:
        return Finding("gpu", f"TensorFlow sees {len(seen)}: {names or 'of no known name'}")
    if not there:
        why = "no nvidia-smi" if shutil.which("nvidia-smi") is None else "nvidia-smi lists none"
        return Finding("gpu", f"none here ({why}): training is on the CPU")
    return explain_unseen_gpu(names, tf.sysconfig.get_build_info())


def explain_unseen_gpu(names: str, build: Mapping[str, object]) -> Finding:
    """Why TensorFlow does not see the GPUs of a machine that has some."""
    said = f"{names}, which TensorFlow does not see"
    if not build.get("is_cuda_build"):
        return Finding("gpu", f"{said}: it was built without CUDA", "pip install 'cnntrain[gpu]'")
    if not is_library_loadable(DRIVER):
        fix = "install NVIDIA's driver; in a container, start it with --gpus all"
        return Finding("gpu", f"{said}: {DRIVER} is missing", fix)
    if lacking := [name for name in list_cuda_libraries(build) if not is_library_loadable(name)]:
        fix = "pip install 'cnntrain[gpu]'"
        return Finding("gpu", f"{said}: {', '.join(lacking)} missing", fix)
    fix = "is CUDA_VISIBLE_DEVICES empty? Is the driver older than TensorFlow's CUDA?"
    return Finding("gpu", f"{said}, though all libraries are there", fix)


def list_cuda_libraries(build: Mapping[str, object]) -> list[str]:
    """The libraries that this TensorFlow was built for: libcudart.so.12."""
    major = {key: str(build.get(key, "")).split(".")[0] for key in LIBRARIES}
    exact = [name.format(major[key]) for key, names in LIBRARIES.items() for name in names]
    return [*exact, *OTHER_LIBRARIES]


def is_library_loadable(name: str) -> bool:
    """Whether a library is where the system looks, or in the packages that pip installs."""
    try:
        ctypes.CDLL(name)
    except OSError:
        homes = [Path(home) / "nvidia" for home in site.getsitepackages()]
        return any(True for home in homes for _ in home.glob(f"*/lib/{name}*"))
    return True


def check_memory() -> Finding:
    found = read_machine_memory()
    said = f"{format_size(found.free)} of {format_size(found.total)} are free ({found.name})"
    little = found.free < MIN_FREE_MEMORY
    return Finding("memory", said, "end other programs, or train elsewhere" if little else None)


def check_disk() -> Finding:
    """Room where runs go, and for temporary files."""
    places = {"here": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    free = {what: shutil.disk_usage(path).free for what, path in places.items()}
    said = ", ".join(f"{format_size(size)} free for {what}" for what, size in free.items())
    little = min(free.values()) < MIN_FREE_DISK
    return Finding("disk", said.replace("for here", "here"), "make room" if little else None)


def check_data_sets(asked: Spec, config_dir: str | None) -> Finding:
    """The data sets that are here; none is no fault: digits always are."""
    manual_dir = expand_folder(asked.manual_dir, "manual_dir") if asked.manual_dir else None
    entries = list_datasets(expand_folder(asked.data_dir, "data_dir"), manual_dir, config_dir)
    here = [f"{e.option} ({HERE_WORDS[e.here]})" for e in entries if e.here not in ("no", "needs")]
    return Finding("data", f"{', '.join(here)}; data_dir={asked.data_dir}")


def check_training() -> Finding:
    """LeNet-5 on the digits for a few steps: it must learn, be saved, and be read back."""
    began = time.perf_counter()
    with silence_stderr():
        import keras

        from cnntrain.training.trainer import train_run
    config = compose_config(TRIAL_OVERRIDES).config
    with tempfile.TemporaryDirectory() as place:
        run = Run.claim(Path(place) / "run", config, TRIAL_OVERRIDES)
        try:
            report = train_run(build_spec(config), run, SilentProgress())
        except SpecError as error:
            return Finding("training", str(error), "see above")
        assert report is not None  # there is one worker
        keras.models.load_model(run.final)
    seconds, loss = time.perf_counter() - began, report["test"]["final"]["loss"]
    said = f"{report['steps']} steps of LeNet-5 in {format_duration(seconds)}, test loss {loss:.2f}"
    learnt = math.isfinite(loss) and loss < math.log(10)
    return Finding("training", said, None if learnt else "it did not learn: reinstall TensorFlow")


class SilentProgress:
    """A `Progress` that tells no one."""

    def note(self, line: str) -> None: ...
    def begin_phase(self, done: int, total_steps: int, steps_per_epoch: int) -> None: ...
    def step(self, epoch: int, step: int, speed: float, logs: Mapping[str, float]) -> None: ...
    def epoch(self, row: Mapping[str, float]) -> None: ...
