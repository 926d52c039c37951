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
from cnntrain.runs.directory import OF_A_JOB, Run
from cnntrain.runs.environment import now
from cnntrain.runs.strangers import read_config, read_job, read_record
from cnntrain.signals import INTERRUPTED, TERMINATED, Signals
from cnntrain.spec.overrides import quoted
from cnntrain.sweeps.directory import GOOD, Job, Sweep

POLL_SECONDS = 0.1
# What the sweep's file `stop` may say.
BEGIN_NONE, LEAVE, NOW = "begin no other", "leave", "now"
# More jobs than GPUs: none takes all memory of one at once.
SHARED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
KINDS = {Diverged.__name__: "diverged", OutOfMemory.__name__: "out of memory"}


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
    def stop(self) -> Path:
        return self.folder.parent / "stop"

    @property
    def prune(self) -> Path:
        return self.folder / "prune"

    @property
    def record(self) -> Path:
        return self.folder / "job.json"


def task(sweep: Sweep, job: Job) -> Task:
    """What it takes to do a job of a sweep."""
    plan, asked = sweep.plan, sweep.plan["sweep"]
    return Task(
        job.folder, job.overrides, tuple(plan["flags"]), Path(plan["cwd"]),
        asked["on_error"], asked["retry_oom"],
    )  # fmt: skip


def work(task: Task, gpu: str | None = None) -> None:
    """Do a job, unless the sweep is being stopped; afterwards job.json says how it stands."""
    if task.stop.exists():
        return
    task.folder.mkdir(exist_ok=True)
    status = live(task, task.overrides, gpu)
    if status == "out of memory" and task.retry_oom and (half := half_the_batch(task.folder)):
        reason = read_job(task.folder)["reason"]
        clear(task.folder)
        again = (*task.overrides, f"batch_size={half}")
        status = live(task, again, gpu, retried=f"batch_size={half} after {reason}")
    if status not in (*GOOD, "interrupted") and task.on_error == "stop":
        write_whole(task.stop, BEGIN_NONE)


def half_the_batch(folder: Path) -> int | None:
    """Half the batch of a run, or None if that is not one, or not of its number of pieces."""
    config = read_config(Run(folder))
    half, odd = divmod(config["batch_size"], 2)
    return half if half and not odd and half % config["accumulate"] == 0 else None


def live(task: Task, overrides: tuple[str, ...], gpu: str | None, **facts: Any) -> str:
    """One life of a job: start its process, or none if it is finished, and record its end."""
    run = Run(task.folder)
    begun = run.record.exists() and run.spec.exists()
    facts = {"overrides": overrides, "started": now(), "host": socket.gethostname(), **facts}
    if begun and run.read().get("status") == "finished":  # who was to write it down was killed
        return end(task, facts, "finished", None)
    words = ["resume", str(task.folder)]
    if not begun:
        clear(task.folder)
        words = [*task.flags, *overrides, f"hydra.run.dir={quoted(str(task.folder))}"]
    with open_existing(task.folder / "console.log", "ab") as console:
        before = console.tell()
        process = subprocess.Popen(
            # -P: like `cnntrain` alone it finds no module in the directory where it is
            [sys.executable, "-P", "-m", "cnntrain.cli.child", *words],
            cwd=task.cwd if task.cwd.is_dir() else None,
            env=os.environ | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu} | SHARED),
            stdin=subprocess.PIPE,  # its end is the end of the sweep: see child.py
            stdout=console,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches it through us, once
        )
        write_json(task.record, facts | {"status": "running", "pid": process.pid})
        code, told = wait(process, task)
    said = (task.folder / "console.log").read_bytes()[before:].decode("utf-8", "replace")
    status, reason = outcome(run, code, said)
    if status == "interrupted" and not told:
        status, reason = "killed", "stopped from outside; its state is kept"
    elif status == "interrupted" and task.prune.exists():
        status, reason = "pruned", task.prune.read_text(encoding="utf-8")
        run.finish("pruned")
    task.prune.unlink(missing_ok=True)
    return end(task, facts, status, reason)


def end(task: Task, facts: dict[str, Any], status: str, reason: str | None) -> str:
    write_json(task.record, facts | {"status": status, "reason": reason, "ended": now()})
    return status


def wait(process: subprocess.Popen[bytes], task: Task) -> tuple[int, bool]:
    """Wait for a job's end; pass on that it should stop, by a signal, or by a file of the sweep.

    Returns its exit code, and whether it was told to stop.
    """
    told = False
    with Signals() as signals:
        while process.poll() is None:
            word = task.stop.read_text(encoding="utf-8") if task.stop.exists() else ""
            if not told and (signals.received or word == LEAVE or task.prune.exists()):
                process.terminate()
                told = True
            if word == NOW:
                process.kill()
                told = True
            time.sleep(POLL_SECONDS)
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(), told


def outcome(run: Run, code: int, said: str) -> tuple[str, str | None]:
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
        return KINDS.get(record.get("kind", ""), "failed"), record.get("error")
    return "failed", said.strip().rpartition("\n")[2]


def clear(folder: Path) -> None:
    """Take away what an attempt left that never began, or is not to be gone on with."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in OF_A_JOB:
            path.unlink()
