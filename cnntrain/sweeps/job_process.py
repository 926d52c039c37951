"""Bring one job of a sweep to its end: train it, resume it, or leave it if it has finished.

Every launcher runs this, here or on another machine. It starts the command of a single run as a
child process, so that a job that fails harms no other, and writes how the job ended into its
directory. All communication is by files: a sweep is stopped, and a trial pruned, by a file, too.
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
# What the sweep's file `stop` may contain: no new job starts; running jobs write a checkpoint and
# exit; they are killed.
STOP_STARTING, STOP_RUNNING, KILL = "begin no other", "leave", "now"
# Several jobs may share a GPU; therefore TensorFlow must not reserve all its memory at the start.
SHARED_GPU_ENVIRONMENT = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
ERROR_STATUSES = {Diverged.__name__: "diverged", OutOfMemory.__name__: "out of memory"}


@dataclass(frozen=True)
class Task:
    """What a process needs to know to run a job, also on another machine."""

    folder: Path
    overrides: tuple[str, ...]
    flags: tuple[str, ...]  # of the command line, such as --config-dir
    cwd: Path  # where the sweep was begun: relative paths in the overrides begin there
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
    """Return the task of a job, with the settings in the plan of its sweep."""
    plan, settings = sweep.plan, sweep.plan["sweep"]
    return Task(
        job.folder, job.overrides, tuple(plan["flags"]), Path(plan["cwd"]),
        settings["on_error"], settings["retry_oom"],
    )  # fmt: skip


def run_job(task: Task, gpu: str | None = None) -> None:
    """Run a job, and write its status to job.json; do nothing if the sweep is being stopped.

    A job that is out of memory gets a second attempt with half the batch, if the task allows that.
    If the job failed and `on_error` is stop, the sweep's file `stop` is written.
    """
    if task.stop_file.exists():
        return
    task.folder.mkdir(exist_ok=True)
    status = run_attempt(task, task.overrides, gpu)
    if (
        status == "out of memory"
        and task.retry_oom
        and (half := compute_half_batch_size(task.folder))
    ):
        reason = read_job(task.folder)["reason"]
        clear_attempt(task.folder)
        overrides = (*task.overrides, f"batch_size={half}")
        status = run_attempt(task, overrides, gpu, retried=f"batch_size={half} after {reason}")
    if status not in (*GOOD_STATUSES, "interrupted") and task.on_error == "stop":
        write_whole(task.stop_file, STOP_STARTING)


def compute_half_batch_size(folder: Path) -> int | None:
    """Return half the batch size of a run, or None if that is no multiple of `accumulate`."""
    config = read_config(Run(folder))
    half, odd = divmod(config["batch_size"], 2)
    return half if half and not odd and half % config["accumulate"] == 0 else None


def run_attempt(task: Task, overrides: tuple[str, ...], gpu: str | None, **facts: Any) -> str:
    """Start the process of a job or resume it, record how it ends, and return the status.

    A job whose run has finished is only recorded. `facts` are added to job.json.
    """
    run = Run(task.folder)
    has_begun = run.record.exists() and run.spec.exists()
    facts = {
        "overrides": overrides,
        "started": format_time_now(),
        "host": socket.gethostname(),
        **facts,
    }
    # A process that was killed after the run had finished could not record it.
    if has_begun and run.read_run_json().get("status") == "finished":
        return record_attempt_end(task, facts, "finished", None)
    words = ["resume", str(task.folder)]
    if not has_begun:
        clear_attempt(task.folder)
        words = [*task.flags, *overrides, f"hydra.run.dir={quote_literal(str(task.folder))}"]
    with open_existing(task.folder / "console.log", "ab") as console:
        before = console.tell()
        process = subprocess.Popen(
            # -P: modules in the working directory are not imported, as with the command `cnntrain`
            [sys.executable, "-P", "-m", "cnntrain.cli.child", *words],
            cwd=task.cwd if task.cwd.is_dir() else None,
            env=os.environ
            | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu} | SHARED_GPU_ENVIRONMENT),
            stdin=subprocess.PIPE,  # its end tells the child to stop: see child.py
            stdout=console,
            stderr=subprocess.STDOUT,
            **separate_from_terminal(),
        )
        write_json(task.record_file, facts | {"status": "running", "pid": process.pid})
        code, was_stopped = wait_for_process(process, task)
    output = (task.folder / "console.log").read_bytes()[before:].decode("utf-8", "replace")
    status, reason = determine_outcome(run, code, output)
    if status == "interrupted" and not was_stopped:
        status, reason = "killed", "stopped from outside; its checkpoint is kept"
    elif status == "interrupted" and task.prune_file.exists():
        status, reason = "pruned", task.prune_file.read_text(encoding="utf-8")
        run.record_end("pruned")
    task.prune_file.unlink(missing_ok=True)
    return record_attempt_end(task, facts, status, reason)


def separate_from_terminal() -> dict[str, Any]:
    """Return the arguments of Popen with which Ctrl-C reaches a job only through its sweep."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP")}  # noqa: B009
    return {"process_group": 0}


def record_attempt_end(task: Task, facts: dict[str, Any], status: str, reason: str | None) -> str:
    """Write to job.json how an attempt ended, and return the status."""
    write_json(
        task.record_file, facts | {"status": status, "reason": reason, "ended": format_time_now()}
    )
    return status


def wait_for_process(process: subprocess.Popen[bytes], task: Task) -> tuple[int, bool]:
    """Wait until a job's process has ended, and stop it after a signal or if a file says so.

    The files are `stop` of the sweep and `prune` of the job. Returns the exit code, and whether the
    process was stopped.
    """
    was_stopped = False
    assert process.stdin is not None
    with Signals() as signals:
        while process.poll() is None:
            word = task.stop_file.read_text(encoding="utf-8") if task.stop_file.exists() else ""
            is_due = signals.received or word == STOP_RUNNING or task.prune_file.exists()
            if is_due and not was_stopped:
                process.stdin.close()
                was_stopped = True
            if word == KILL:
                process.kill()
                was_stopped = True
            time.sleep(POLL_SECONDS)
    process.stdin.close()
    return process.wait(), was_stopped


def determine_outcome(run: Run, code: int, output: str) -> tuple[str, str | None]:
    """Return the status of a job and its reason, or None.

    They follow from the exit code of its process, from run.json and from what it printed.
    """
    record = read_record(run) if run.record.is_file() else {}
    if code == 0 or record.get("status") == "finished":  # a signal may have come after its end
        return "finished", None
    if code in (INTERRUPTED, TERMINATED, -signal.SIGTERM, -signal.SIGINT):
        return "interrupted", None
    if code < 0:  # the system itself sends SIGKILL when memory is short
        return "killed", f"killed by {signal.Signals(-code).name}"
    if code == 2:
        return "refused", output.rpartition("Error: ")[2].partition("\n")[0].strip() or None
    if record.get("status") == "failed":
        return ERROR_STATUSES.get(record.get("kind", ""), "failed"), record.get("error")
    return "failed", output.strip().rpartition("\n")[2]


def clear_attempt(folder: Path) -> None:
    """Remove what an attempt left in a job's folder, except job.json and console.log."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in JOB_FILES:
            path.unlink()
