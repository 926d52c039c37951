"""What is decided for the device that trains: XLA, determinism, precision, compilation cache.

The decisions depend on the settings, the backend and the device alone. A run prints them in one
line, and run.json has them with the reason for each.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras
import tensorflow as tf

from cnntrain.data.device_memory import count_cores
from cnntrain.spec.spec import Spec
from cnntrain.training.devices.compilation_cache import (
    get_jax_setting,
    read_cpu_facts,
)

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
AMPERE = (8, 0)  # the compute capability from which GPUs have TF32 and fast bfloat16
Capability = tuple[int, int]


@dataclass(frozen=True)
class Device:
    """The device that trains, as its backend sees it.

    `gpus` are the names of the GPUs; without any, the CPU trains. `capability` is the lowest
    compute capability of the GPUs, None where it is not known. `tf32` says whether the backend may
    multiply float32 numbers as TF32, and `bfloat16` whether the CPU has instructions for bfloat16.
    """

    backend: str
    gpus: tuple[str, ...]
    capability: Capability | None
    threads: int
    tf32: bool
    bfloat16: bool | None


@dataclass(frozen=True)
class DeviceSettings:
    """What is decided for a device, with a reason for each decision.

    `xla` says whether XLA compiles the step. `determinism` says what makes it deterministic: XLA's
    own operations, TensorFlow's, or nothing. `tf32` says whether float32 numbers are multiplied
    as TF32, and `bfloat16` whether bfloat16 is faster than float32, None where nobody knows.
    `compilation_cache` is the folder that keeps compiled steps, None without one.
    """

    kind: Literal["CPU", "GPU"]
    gpus: tuple[str, ...]
    threads: int
    xla: bool
    determinism: Literal["xla", "tensorflow", "none"]
    tf32: bool
    bfloat16: bool | None
    compilation_cache: str | None
    suggestion: str | None
    reasons: Mapping[str, str]

    @property
    def line(self) -> str:
        """The decisions as one line for people."""
        determinism = {
            "xla": "XLA on, deterministic by XLA's own operations",
            "tensorflow": f"XLA {'on' if self.xla else 'off'}, deterministic",
            "none": f"XLA {'on' if self.xla else 'off'}, not deterministic",
        }
        parts = [count_names(self.gpus) or f"CPU, {self.threads} threads"]
        parts += [determinism[self.determinism]]
        parts += ["TF32"] if self.tf32 else []
        parts += [self.suggestion] if self.suggestion else []
        return f"device: {'; '.join(parts)}"

    def describe(self) -> dict[str, Any]:
        """Return the decisions and their reasons, as run.json has them."""
        facts = asdict(self) | {"gpus": list(self.gpus)}
        return {key: facts[key] for key in facts if key != "suggestion"}


def decide_for_device(spec: Spec, device: Device | None = None) -> DeviceSettings:
    """Return the decisions for a spec on a device: by default the one that this process has.

    On JAX the devices must have been set up before, because JAX is asked for them.
    """
    device = device or inspect_device()
    on_gpu, on_jax = bool(device.gpus), device.backend == "jax"
    xla, why_xla = decide_xla(spec, device)
    determinism, why_deterministic = decide_determinism(spec, device, xla)
    ampere = device.capability is not None and device.capability >= AMPERE
    tf32 = ampere and device.tf32 and spec.precision == "float32"
    bfloat16 = None if on_jax else device.bfloat16  # whether XLA gains by it is not measured
    if on_gpu:
        bfloat16 = None if device.capability is None else ampere
    suggestion = None
    if on_gpu and bfloat16 and spec.precision == "float32":
        suggestion = "bfloat16 would be faster: precision=mixed_bfloat16"
    cache = (get_jax_setting("jax_compilation_cache_dir") or None) if on_jax else None
    reasons = {
        "xla": why_xla,
        "determinism": why_deterministic,
        "tf32": "the library's default for float32"
        if tf32
        else "only newer GPUs have it, for float32",
        "bfloat16": explain_bfloat16(bfloat16, on_gpu),
        "compilation_cache": explain_cache(cache, on_jax),
    }
    return DeviceSettings(
        "GPU" if on_gpu else "CPU", device.gpus, device.threads, xla, determinism, tf32, bfloat16,
        cache, suggestion, reasons,
    )  # fmt: skip


def decide_xla(spec: Spec, device: Device) -> tuple[bool, str]:
    """Return whether XLA compiles the step, and why."""
    if device.backend == "jax":
        return True, "JAX compiles everything with XLA"
    if spec.xla != "auto":
        return spec.xla, f"the setting xla={str(spec.xla).lower()}"
    if spec.distribution.name != "single":
        return False, "several devices share a batch"
    if device.gpus:
        return True, "a GPU is several times faster with it"
    return False, "a CPU is 2 to 3 times slower with it"


def decide_determinism(
    spec: Spec, device: Device, xla: bool
) -> tuple[Literal["xla", "tensorflow", "none"], str]:
    """Return what makes the step deterministic, and why.

    With TensorFlow's deterministic operations XLA compiles no network that has a max pool.
    """
    if not spec.deterministic:
        return "none", "the setting deterministic=false"
    is_forbidden = "--xla_gpu_deterministic_ops=false" in os.environ.get("XLA_FLAGS", "")
    if xla and device.gpus and is_forbidden:
        return "none", "XLA_FLAGS switches it off"
    if xla:
        return "xla", "XLA compiles the step"
    return "tensorflow", "XLA is off" if device.gpus else "it costs a CPU nothing"


def explain_bfloat16(is_fast: bool | None, on_gpu: bool) -> str:
    """Return why bfloat16 is faster than float32, or not, or why nobody knows."""
    if is_fast is None:
        return "the device does not tell"
    if on_gpu:
        return f"its compute capability is {'8.0 or more' if is_fast else 'below 8.0'}"
    return f"the CPU has {'' if is_fast else 'no '}instructions for it"


def explain_cache(folder: str | None, on_jax: bool) -> str:
    """Return why compiled steps are kept in a folder, or not."""
    if folder is not None:
        return "compiling takes seconds to a minute"
    return "no folder can be written" if on_jax else "TensorFlow's cache saves no time"


def inspect_device() -> Device:
    """Return the device that the backend of this process trains on; several GPUs count as one."""
    if keras.backend.backend() == "jax":
        return inspect_jax_device()
    physical = tf.config.list_physical_devices("GPU")
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in physical]
    capabilities = [found for gpu in gpus if (found := gpu.get("compute_capability"))]
    return Device(
        "tensorflow",
        tuple(str(gpu.get("device_name")) for gpu in gpus),
        min(capabilities, default=None),
        tf.config.threading.get_intra_op_parallelism_threads() or count_cores(),
        tf.config.experimental.tensor_float_32_execution_enabled() and is_tf32_allowed(),
        has_bfloat16_instructions(),
    )


def inspect_jax_device() -> Device:
    """Return the device that JAX trains on."""
    import jax

    gpus = jax.devices() if jax.default_backend() == "gpu" else []
    texts = [str(getattr(gpu, "compute_capability", "")) for gpu in gpus]
    found = [re.fullmatch(r"(\d+)\.(\d+)", text) for text in texts]
    capabilities = [(int(match[1]), int(match[2])) for match in found if match]
    tf32 = get_jax_setting("jax_default_matmul_precision") in (None, "default", "tensorfloat32")
    return Device(
        "jax",
        tuple(gpu.device_kind for gpu in gpus),
        min(capabilities, default=None),
        count_cores(),
        tf32 and is_tf32_allowed(),
        has_bfloat16_instructions(),
    )


def is_tf32_allowed() -> bool:
    """Return whether NVIDIA's libraries may use TF32, which a variable of theirs forbids."""
    return os.environ.get("NVIDIA_TF32_OVERRIDE") != "0"


def has_bfloat16_instructions() -> bool | None:
    """Return whether the CPU has instructions for bfloat16; None where the system does not say.

    With them convolutions are 1.3 times faster than in float32; without, 2 to 4 times slower.
    """
    flags = read_cpu_facts().get("flags")
    return bool(BFLOAT16_FLAGS & set(flags.split())) if flags else None


def count_names(names: tuple[str, ...]) -> str:
    """Return the names of GPUs as text: `2 x NVIDIA L4`."""
    counts = {name: names.count(name) for name in names}
    return ", ".join(name if n == 1 else f"{n} x {name}" for name, n in counts.items())
