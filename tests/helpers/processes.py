"""Sweeps run as processes that tests can kill, and the files that they leave."""

import json
import subprocess
import sys
import time
from pathlib import Path

# What a sweep of one job writes of itself.
PLAN = {
    "overrides": ["seed=1"], "flags": [], "varied": ["seed"], "monitor": "valid.accuracy",
    "sweep": {"jobs": 1, "gpus": None, "on_error": "continue", "retry_oom": False},
    "launcher": {"name": "local"}, "sweeper": {"name": "basic"}, "jobs": [["seed=1"]],
}  # fmt: skip
SHORT = ["model=mlp_256_128", "epochs=1", "max_steps=2"]


def jobs_of(sweep: Path) -> list[dict]:
    return json.loads((sweep / "jobs.json").read_text())


def statuses(sweep: Path) -> list[str]:
    return [job["status"] for job in jobs_of(sweep)]


def mtimes(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def wait_until(condition, process, seconds=240):
    ends = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "ended too early"
        assert time.monotonic() < ends, "did not come"
        time.sleep(0.05)


def begin(*words: str, cwd: Path) -> subprocess.Popen:
    """Start the real command line as a process that the test can kill."""
    line = [sys.executable, "-m", "cnntrain", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(line, cwd=cwd, **quiet)


def finished(job: Path) -> bool:
    return json.loads((job / "job.json").read_text())["status"] == "finished"
