"""How long the command line takes to answer: processes of their own, timed from outside."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from cnntrain.benchmarks.turns import Announce, Timing

POLL_SECONDS = 0.005


def measure_startup(rounds: int, announce: Announce) -> dict[str, list[Timing]]:
    """Return the timings of the commands; a round before them fills the disk's cache."""
    commands: dict[str, Callable[[Path], None]] = {
        "--help": lambda folder: run_command("--help", cwd=folder),
        "a typo": lambda folder: run_command("epoch=3", cwd=folder),
        "first step": wait_for_first_step,
    }
    timings: dict[str, list[Timing]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        announce(f"round {number} of {rounds}")
        for name, run in commands.items():
            with tempfile.TemporaryDirectory() as folder:
                timing = time_children(run, Path(folder))
            if number:
                timings[name].append(timing)
    return timings


def time_children(run: Callable[[Path], None], folder: Path) -> Timing:
    """Return what processes take that a function starts in a folder and waits for."""
    before, began = psutil.Process().cpu_times(), time.perf_counter()
    run(folder)
    wall, after = time.perf_counter() - began, psutil.Process().cpu_times()
    cpu = after.children_user + after.children_system
    return Timing(cpu - before.children_user - before.children_system, wall)


def run_command(*words: str, cwd: Path) -> None:
    line = [sys.executable, "-m", "cnntrain", *words]
    subprocess.run(line, cwd=cwd, capture_output=True, check=False)


def wait_for_first_step(folder: Path) -> None:
    """Train until the first step has a row in steps.csv, and end the process there.

    Raises RuntimeError if it ends before.
    """
    run = folder / "run"
    words = ("dataset=digits", "model=lenet5", "log_every=1", f"hydra.run.dir={run}")
    with subprocess.Popen(
        [sys.executable, "-m", "cnntrain", *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while not (run / "steps.csv").exists():
            if process.poll() is not None:
                raise RuntimeError(
                    f"cnntrain ended with {process.returncode} before its first step"
                )
            time.sleep(POLL_SECONDS)
        process.kill()
