"""What this checkout does on a GPU: speed beside PyTorch, repeatability, exact resume, start-up.

`scripts/gpu_check.sh` runs it. Each run is the real command in a process of its own, on 12,800
images of noise, 32x32x3. Rates are medians over the epochs after the first, without validation.
What matters most comes first; a part that no longer fits into the time is left out.
"""

import contextlib
import csv
import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BACKENDS = ("tensorflow", "jax")
SECONDS = float(os.environ.get("GPU_CHECK_SECONDS", 590))
TORCH_SCRIPT = Path(__file__).with_name("gpu_check_torch.py")
# Several processes share a GPU: neither library may take all of its memory.
SHARED_GPU = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
NETWORKS = {
    "resnet18": ("model=resnet18", "model.stem=cifar", "precision=mixed_bfloat16"),
    "resnet20": ("model=resnet20_v1",),
    "cnn_cifar": ("model=cnn_cifar",),  # it has max pools and dropout
}
TINY_NETWORKS = {
    "resnet18": ("model=lenet5", "precision=mixed_bfloat16"),
    "resnet20": ("model=resnet20_v1", "model.depth=8"),
    "cnn_cifar": ("model=cnn_cifar", "model.filters=[4,8]", "model.hidden=16"),
}


@dataclass(frozen=True)
class Scale:
    """How much is measured: images for training, batch sizes and epochs of each network."""

    images: int
    batches: dict[str, int]
    epochs: dict[str, int]
    networks: dict[str, tuple[str, ...]]
    torch_steps: int
    seconds: float


FULL = Scale(
    12_800, {"resnet18": 512, "resnet20": 128, "cnn_cifar": 128},
    {"resnet18": 12, "resnet20": 8, "cnn_cifar": 3}, NETWORKS, 150, SECONDS - 20,
)  # fmt: skip
TINY = Scale(
    1_280, {"resnet18": 32, "resnet20": 32, "cnn_cifar": 32},
    {"resnet18": 3, "resnet20": 3, "cnn_cifar": 2}, TINY_NETWORKS, 2, 900,
)  # fmt: skip


class Check:
    """The runs of one check, and what they showed; it is written after each part."""

    def __init__(self, scale: Scale, folder: Path):
        self.scale, self.folder = scale, folder
        self.ends = time.monotonic() + scale.seconds
        self.results: dict[str, Any] = {}
        self.environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}

    def record(self, name: str, value: Any) -> None:
        """Print a result, and write all of them so far into $OUT, if that is set."""
        self.results[name] = value
        print(f"{name:<44} {value}", flush=True)
        if out := os.environ.get("OUT"):
            Path(out, "gpu_check.json").write_text(json.dumps(self.results, indent=2))

    def has_time(self, name: str, seconds: float) -> bool:
        """Whether a part of so many seconds still fits; if not, that is recorded."""
        left = self.ends - time.monotonic()
        if left < min(seconds, self.scale.seconds / 4):
            self.record(name, f"left out: {left:.0f} s were left")
            return False
        return True

    def make_command(self, network: str, run: str, words: Sequence[str]) -> list[str]:
        """Return the command that trains a network of the scale into the directory `run`."""
        scale = self.scale
        return [
            sys.executable, "-m", "cnntrain", *scale.networks[network], "dataset=image_folder",
            f"dataset.folder={self.folder / 'images'}", f"data_dir={self.folder}",
            "augmentation=flip_crop", "optimizer=sgd", "optimizer.learning_rate=0.05",
            "schedule=constant", "tracking=none", f"batch_size={scale.batches[network]}",
            f"epochs={scale.epochs[network]}", f"hydra.run.dir={self.folder / run}", *words,
        ]  # fmt: skip

    def start(
        self, command: Sequence[str], backend: str, log: Path, more: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a command on a backend; what it prints is added to `log`."""
        environment = {**self.environment, "KERAS_BACKEND": backend, **more}
        with log.open("ab") as file:
            return subprocess.Popen(command, env=environment, stdout=file, stderr=file)

    def train(self, network: str, backend: str, run: str, *words: str, **more: str) -> float | None:
        """Train; return the seconds from the command to the first row of steps.csv.

        Returns None, and records the last line of its log, for a run that failed or took too long.
        """
        log, began = self.folder / f"{run}.log", time.monotonic()
        process = self.start(self.make_command(network, run, words), backend, log, more)
        with stop_at_the_end(process):
            first = self.wait_for_rows(process, run, 1)
            seconds = time.monotonic() - began
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(1.0, self.ends - time.monotonic()))
        if process.returncode == 0 and first:
            return round(seconds, 1)
        self.record(f"{run}: failed", read_tail(log))
        return None

    def wait_for_rows(self, process: subprocess.Popen[bytes], run: str, rows: int) -> bool:
        """Wait until steps.csv has so many rows; return whether it has, before the run ended."""
        while time.monotonic() < self.ends:
            if len(self.read_rows(run)) >= rows:
                return True
            if process.poll() is not None:
                return len(self.read_rows(run)) >= rows
            time.sleep(0.02)
        return False

    def read_rows(self, run: str, table: str = "steps.csv") -> list[dict[str, str]]:
        """Return the rows of a table so far."""
        file = self.folder / run / table
        with contextlib.suppress(OSError), file.open(newline="") as lines:
            return list(csv.DictReader(lines))
        return []

    def compute_rate(self, run: str) -> float:
        """Return the median images per second of the epochs after the first."""
        rows = self.read_rows(run, "history.csv")[1:]
        return round(statistics.median(float(row["images_per_second"]) for row in rows))


@contextlib.contextmanager
def stop_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process that is still running when the block ends."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def main() -> None:
    """Run all parts, the most telling first."""
    scale = TINY if os.environ.get("GPU_CHECK_SCALE") == "tiny" else FULL
    folder = Path(tempfile.mkdtemp(prefix="gpu_check_"))
    try:
        check = Check(scale, folder)
        write_images(folder / "images", scale.images)
        compare_with_torch(check)
        for backend in BACKENDS:
            if importlib.util.find_spec(backend) is not None:
                check_speed_and_repeatability(check, backend)
        check_side_by_side(check)
        for backend in BACKENDS:
            measure_host_pipeline(check, backend)
        check.record("seconds in all", round(scale.seconds - (check.ends - time.monotonic())))
    finally:
        if out := os.environ.get("OUT"):
            for file in (*folder.glob("*.log"), *folder.glob("*/run.json")):
                shutil.copy(file, Path(out, file.relative_to(folder).as_posix().replace("/", "_")))
        shutil.rmtree(folder, ignore_errors=True)


def write_images(folder: Path, count: int) -> None:
    """Write images of noise, 32x32x3, of ten classes: `count` to train, a tenth to validate."""
    import numpy as np
    from PIL import Image

    def write_class(part: str, number: int, images: int) -> None:
        place = folder / part / f"class{number}"
        place.mkdir(parents=True)
        pixels = np.random.default_rng([number, images]).integers(
            0, 256, (images, 32, 32, 3), np.uint8
        )
        for row, image in enumerate(pixels):
            Image.fromarray(image).save(place / f"{row:05}.png", compress_level=0)

    parts = {"train": count // 10, "valid": count // 100, "test": count // 100 + 1}
    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(write_class, part, number, images)
            for part, images in parts.items()
            for number in range(10)
        ]
    for job in jobs:
        job.result()


def compare_with_torch(check: Check) -> None:
    """Record PyTorch's eager rates for both networks, if it is installed."""
    if importlib.util.find_spec("torch") is None:
        check.record("torch", "not installed")
        return
    for network in ("resnet18", "resnet20"):
        batch, steps = check.scale.batches[network], check.scale.torch_steps
        command = [sys.executable, str(TORCH_SCRIPT), network, str(batch), str(steps)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        said = (ended.stdout if ended.returncode == 0 else ended.stderr).strip().splitlines()
        rate = float(said[-1]) if ended.returncode == 0 else said[-1]
        check.record(f"torch eager {network}, images/s", rate)


def check_speed_and_repeatability(check: Check, backend: str) -> None:
    """Record rates, start-up with an empty and a full compilation cache, and whether bits agree."""
    for network, repeats in (("resnet18", 2), ("resnet20", 1), ("cnn_cifar", 1)):
        weights = []
        for number in range(repeats):
            run = f"{backend}_{network}_{number}"
            if not check.has_time(run, 45):
                break
            started = check.train(network, backend, run)
            if started is None:
                break
            weights.append(hash_weights(check.folder / run / "final.keras"))
            state = "full cache" if number else "empty cache"
            check.record(f"{backend} {network}, s to 10 steps, {state}", started)
            check.record(f"{backend} {network}, images/s", check.compute_rate(run))
            if network == "resnet18" and number == 0:
                lines = (check.folder / f"{run}.log").read_text().splitlines()
                device = [line for line in lines if line.startswith("device: ")]
                check.record(f"{backend} device", " ".join(device).removeprefix("device: "))
        compare_rate_with_torch(check, backend, network)
        if len(weights) == 2:
            check.record(f"{backend} {network}, two runs are equal", weights[0] == weights[1])


def compare_rate_with_torch(check: Check, backend: str, network: str) -> None:
    """Record our rate as a share of PyTorch's, if both are known."""
    ours = check.results.get(f"{backend} {network}, images/s")
    torch = check.results.get(f"torch eager {network}, images/s")
    if isinstance(ours, int | float) and isinstance(torch, float):
        check.record(f"{backend} {network} over torch", round(ours / torch, 3))


def check_side_by_side(check: Check) -> None:
    """Record what is not timed, for both backends at once.

    It is whether a run that was killed and resumed equals a whole one, and whether two runs of a
    network with max pools and dropout are equal.
    """
    if not check.has_time("side by side", 60):
        return
    with ThreadPoolExecutor() as pool:
        resumed = {name: pool.submit(resume_killed_run, check, name) for name in BACKENDS}
        twice = {name: pool.submit(repeat_run, check, name) for name in BACKENDS}
        for backend in BACKENDS:
            name = f"{backend} resnet20, killed and resumed is equal"
            check.record(name, resumed[backend].result())
            check.record(f"{backend} cnn_cifar, two runs are equal", twice[backend].result())


def repeat_run(check: Check, backend: str) -> bool | str:
    """Train `cnn_cifar` twice, and return whether the weights are equal."""
    runs = [f"{backend}_cnn_cifar_twice_{number}" for number in range(2)]
    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(check.train, "cnn_cifar", backend, run, "dataset.limit=5000", **SHARED_GPU)
            for run in runs
        ]
    if None in (job.result() for job in jobs):
        return "a run failed"
    first, second = (hash_weights(check.folder / run / "final.keras") for run in runs)
    return first == second


def resume_killed_run(check: Check, backend: str) -> bool | str:
    """Kill a run within its second epoch, resume it, and compare its weights with a whole run's."""
    whole, run = check.folder / f"{backend}_resnet20_0" / "final.keras", f"{backend}_killed"
    if not whole.is_file():
        return "no whole run to compare with"
    steps = check.scale.images // check.scale.batches["resnet20"]
    words = (f"checkpoint.every_steps={steps // 4}", "log_every=5")
    log = check.folder / f"{run}.log"
    process = check.start(check.make_command("resnet20", run, words), backend, log, SHARED_GPU)
    with stop_at_the_end(process):
        if not check.wait_for_rows(process, run, steps * 3 // 2 // 5):
            return f"it did not come to its second epoch: {read_tail(log)}"
        process.send_signal(signal.SIGKILL)
        process.wait()
    command = [sys.executable, "-m", "cnntrain", "resume", str(check.folder / run)]
    resumed = check.start(command, backend, log, SHARED_GPU)
    with stop_at_the_end(resumed), contextlib.suppress(subprocess.TimeoutExpired):
        resumed.wait(max(1.0, check.ends - time.monotonic()))
    if resumed.returncode != 0:
        return f"the resumed run failed: {read_tail(log)}"
    return hash_weights(check.folder / run / "final.keras") == hash_weights(whole)


def measure_host_pipeline(check: Check, backend: str) -> None:
    """Record the rates with batches that are made on the host, beside those of pipeline=auto."""
    for network in ("resnet18", "resnet20"):
        name, run = f"{backend} {network}, pipeline=host, images/s", f"{backend}_{network}_host"
        if not check.has_time(name, 35):
            return
        if check.train(network, backend, run, "pipeline=host") is not None:
            check.record(name, check.compute_rate(run))


def hash_weights(file: Path) -> str:
    """Return a hash of the weights in a .keras file, whatever else is in it."""
    import h5py

    digest = hashlib.sha256()

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            digest.update(name.encode() + item[()].tobytes())

    with zipfile.ZipFile(file) as archive, io.BytesIO(archive.read("model.weights.h5")) as weights:
        h5py.File(weights).visititems(add)
    return digest.hexdigest()


def read_tail(log: Path) -> str:
    """Return the last lines of a log as one."""
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-4:])[-800:]


if __name__ == "__main__":
    main()
