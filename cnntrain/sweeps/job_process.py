"""One job of a sweep, brought to an end from wherever it is: trained, resumed, or left as it is.

This is what every launcher runs, here or on another machine. It starts the command of a run alone
as a child, so that a job that fails takes nothing with it, and writes into the job's directory how
that ended. Nothing is passed but files: a sweep is stopped and a trial pruned by a file, too.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnntrain.errors import Diverged, OutOfMemory
from cnntrain.files.documents import write_json
from cnntrain.files.writing import open_existing, write_whole
from cnntrain.runs.directory import JOB_FILES, Run
from cnntrain.runs.environment import format_time_now
from cnntrain.runs.strangers import read_config, read_job, read_record
from cnntrain.signals import INTERRUPTED, TERMINATED, Signals
from cnntrain.spec.overrides import quote_literal
from cnntrain.sweeps.directory import GOOD_STATUSES, Job, Sweep

POLL_SECONDS = 0.1
# What the sweep's file `stop` may say.
BEGIN_NONE, LEAVE, NOW = "begin no other", "leave", "now"
# More jobs than GPUs: none takes all memory of one at once.
SHARED_GPU_ENVIRONMENT = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
ERROR_STATUSES = {Diverged.__name__: "diverged", OutOfMemory.__name__: "out of memory"}


@dataclass(frozen=True)
class Task:
    """All that it takes to do a job."""

    folder: Path
    overrides: tuple[str, ...]
    flags: tuple[str, ...]  # of the command line, such as --config-dir
    cwd: Path  # in which the overrides' paths mean what they did
    on_error: str
    retry_oom: bool

    @property
    def stop_file(self) -> Path:
        return self.folder.parent / "stop"

    @property
    def prune_file(self) -> Path:
        return self.folder / "prune"

    @property
    def record_file(self) -> Path:
        return self.folder / "job.json"


def build_task(sweep: Sweep, job: Job) -> Task:
    """What it takes to do a job of a sweep."""
    plan, asked = sweep.plan, sweep.plan["sweep"]
    return Task(
        job.folder, job.overrides, tuple(plan["flags"]), Path(plan["cwd"]),
        asked["on_error"], asked["retry_oom"],
    )  # fmt: skip


def run_job(task: Task, gpu: str | None = None) -> None:
    """Do a job, unless the sweep is being stopped; afterwards job.json says how it stands."""
    if task.stop_file.exists():
        return
    task.folder.mkdir(exist_ok=True)
    status = run_attempt(task, task.overrides, gpu)
    if status == "out of memory" and task.retry_oom and (half := halve_batch_size(task.folder)):
        reason = read_job(task.folder)["reason"]
        clear_attempt(task.folder)
        again = (*task.overrides, f"batch_size={half}")
        status = run_attempt(task, again, gpu, retried=f"batch_size={half} after {reason}")
    if status not in (*GOOD_STATUSES, "interrupted") and task.on_error == "stop":
        write_whole(task.stop_file, BEGIN_NONE)


def halve_batch_size(folder: Path) -> int | None:
    """Half the batch of a run, or None if that is not one, or not of its number of pieces."""
    config = read_config(Run(folder))
    half, odd = divmod(config["batch_size"], 2)
    return half if half and not odd and half % config["accumulate"] == 0 else None


def run_attempt(task: Task, overrides: tuple[str, ...], gpu: str | None, **facts: Any) -> str:
    """One life of a job: start its process, or none if it is finished, and record its end."""
    run = Run(task.folder)
    begun = run.record.exists() and run.spec.exists()
    facts = {
        "overrides": overrides,
        "started": format_time_now(),
        "host": socket.gethostname(),
        **facts,
    }
    if (
        begun and run.read_run_json().get("status") == "finished"
    ):  # who was to write it down was killed
        return record_attempt_end(task, facts, "finished", None)
    words = ["resume", str(task.folder)]
    if not begun:
        clear_attempt(task.folder)
        words = [*task.flags, *overrides, f"hydra.run.dir={quote_literal(str(task.folder))}"]
    with open_existing(task.folder / "console.log", "ab") as console:
        before = console.tell()
        process = subprocess.Popen(
            # -P: like `cnntrain` alone it finds no module in the directory where it is
            [sys.executable, "-P", "-m", "cnntrain.cli.child", *words],
            cwd=task.cwd if task.cwd.is_dir() else None,
            env=os.environ
            | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu} | SHARED_GPU_ENVIRONMENT),
            stdin=subprocess.PIPE,  # its end is the end of the sweep: see child.py
            stdout=console,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches it through us, once
        )
        write_json(task.record_file, facts | {"status": "running", "pid": process.pid})
        code, told = wait_for_process(process, task)
    said = (task.folder / "console.log").read_bytes()[before:].decode("utf-8", "replace")
    status, reason = determine_outcome(run, code, said)
    if status == "interrupted" and not told:
        status, reason = "killed", "stopped from outside; its state is kept"
    elif status == "interrupted" and task.prune_file.exists():
        status, reason = "pruned", task.prune_file.read_text(encoding="utf-8")
        run.record_end("pruned")
    task.prune_file.unlink(missing_ok=True)
    return record_attempt_end(task, facts, status, reason)


def record_attempt_end(task: Task, facts: dict[str, Any], status: str, reason: str | None) -> str:
    write_json(
        task.record_file, facts | {"status": status, "reason": reason, "ended": format_time_now()}
    )
    return status


def wait_for_process(process: subprocess.Popen[bytes], task: Task) -> tuple[int, bool]:
    """Wait for a job's end; pass on that it should stop, by a signal, or by a file of the sweep.

    Returns its exit code, and whether it was told to stop.
    """
    told = False
    with Signals() as signals:
        while process.poll() is None:
            word = task.stop_file.read_text(encoding="utf-8") if task.stop_file.exists() else ""
            if not told and (signals.received or word == LEAVE or task.prune_file.exists()):
                process.terminate()
                told = True
            if word == NOW:
                process.kill()
                told = True
            time.sleep(POLL_SECONDS)
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(), told


def determine_outcome(run: Run, code: int, said: str) -> tuple[str, str | None]:
    """How a process ended, and why: from its exit code, its run.json and what it printed."""
    record = read_record(run) if run.record.is_file() else {}
    if code == 0 or record.get("status") == "finished":  # a signal may come as it leaves
        return "finished", None
    if code in (INTERRUPTED, TERMINATED, -signal.SIGTERM, -signal.SIGINT):
        return "interrupted", None
    if code < 0:  # SIGKILL may be the system's, for want of memory
        return "killed", f"killed by {signal.Signals(-code).name}"
    if code == 2:
        return "refused", said.rpartition("Error: ")[2].partition("\n")[0].strip() or None
    if record.get("status") == "failed":
        return ERROR_STATUSES.get(record.get("kind", ""), "failed"), record.get("error")
    return "failed", said.strip().rpartition("\n")[2]


def clear_attempt(folder: Path) -> None:
    """Take away what an attempt left that never began, or is not to be gone on with."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in JOB_FILES:
            path.unlink()
