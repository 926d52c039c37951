"""Run the command line in a process of its own, and show what its trainings tell by events.

So a Python program and the command line do the same, and no setting of the program's own TensorFlow
can change a run. It is no `multiprocessing`: scripts need no `if __name__ == "__main__"`.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnntrain.errors import Failure, SpecError
from cnntrain.running.events import REFUSAL, parse_line, read_refusal, replay_event
from cnntrain.running.progress import RunView
from cnntrain.runs.directory import Run as RunDirectory
from cnntrain.runs.results import is_sweep
from cnntrain.runs.strangers import read_record
from cnntrain.signals import INTERRUPTED, TERMINATED, handle_interrupts
from cnntrain.sweeps.job_process import separate_from_terminal

PATIENT_INTERRUPTS = 2  # the first one finishes the step and saves, the second one leaves at once


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or the interrupt button of a notebook, has stopped a run.

    `folder` is the absolute path of its directory; None if it had not begun.
    """

    def __init__(self, what: str, hint: str | None = None, folder: Path | None = None):
        self.what, self.hint, self.folder = what, hint, folder
        super().__init__(f"{what}\n  try       {hint}" if hint else what)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.hint, self.folder)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows."""
        return f"{type(self).__name__}: {self}".splitlines()


@dataclass
class Worker:
    """What a process of the command line has told: its lines, and what its events said."""

    process: subprocess.Popen[str]
    folder: Path | None = None
    refusal: SpecError | None = None
    lines: list[str] = field(default_factory=list)
    code: int = 0
    interrupts: int = 0

    def take_line(self, line: str, view: RunView) -> None:
        """Take a line of its output, and show it."""
        text, event = parse_line(line)
        if text:
            self.lines.append(text)
            view.show_line(text)
        if event is None:
            return
        name, *arguments = event
        if name == REFUSAL:
            self.refusal = read_refusal(arguments)
        elif name == "begin_run":
            self.folder = Path(arguments[0])
        replay_event(name, arguments, view)

    def interrupt(self) -> None:
        """Do to the process what Ctrl-C means to it."""
        self.interrupts += 1
        if self.interrupts > PATIENT_INTERRUPTS:
            self.process.kill()
        elif os.name == "nt":  # no process can send it SIGINT
            assert self.process.stdin is not None
            self.process.stdin.close()
        else:
            self.process.send_signal(signal.SIGINT)


def start_worker(words: Sequence[str]) -> Worker:
    """Start the process of a command line; its standard input is open as long as we live."""
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:replace"}
    environment.pop("FORCE_COLOR", None)  # its output is no terminal, whatever ours is
    process = subprocess.Popen(
        # -P: modules in the working directory are not imported, as with the command `cnntrain`
        [sys.executable, "-P", "-m", "cnntrain.cli.worker", *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **separate_from_terminal(),
    )
    return Worker(process)


def run_worker(words: Sequence[str], view: RunView, folder: Path | None = None) -> Worker:
    """Run a command line in a process of its own, show it, and return what it has told.

    `folder` is the directory of the run that it goes on with. Ctrl-C is passed on to the process,
    whatever else the program does with it. Raises SpecError for a mistake, Interrupted after
    Ctrl-C, and Failure if the process could not go on.
    """
    worker = start_worker(words)
    worker.folder = folder
    with handle_interrupts(lambda *_: worker.interrupt()):
        try:
            with view:
                for line in worker.process.stdout or ():
                    worker.take_line(line.rstrip("\n"), view)
        finally:
            stop_process(worker.process)
    worker.code = worker.process.returncode
    check_outcome(worker)
    return worker


def stop_process(process: subprocess.Popen[str]) -> None:
    """Wait until a process has ended; its standard input ends first, which stops one that runs."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    with process.stdout as output:
        output.read()  # a process whose output nobody reads would wait for ever
    process.wait()


def check_outcome(worker: Worker) -> None:
    """Raise what a process has ended with, if that is not its work done."""
    if worker.refusal is not None:
        raise worker.refusal
    if worker.code == INTERRUPTED or worker.interrupts:  # also if it had just finished
        raise explain_interrupt(worker.folder)
    if worker.code < 0 or worker.code == TERMINATED:
        number = signal.SIGTERM if worker.code == TERMINATED else -worker.code
        how = f"the process was ended by {signal.Signals(number).name}"
        raise Failure(f"{how}{suggest_resume(worker.folder)}")


def check_training(worker: Worker) -> Path:
    """Return the directory of the run that a process has trained; raise Failure if it failed."""
    if worker.folder is None or not worker.folder.is_dir():
        last = worker.lines[-1] if worker.lines else f"exit code {worker.code}"
        raise Failure(f"no run came of it: {last}")
    if worker.code != 0:
        raise Failure(explain_failure(worker))
    return worker.folder


def explain_failure(worker: Worker) -> str:
    """Return why a run failed, as its process has said, or else as its run.json says."""
    for place, line in enumerate(worker.lines):
        if line.startswith("Failed: "):
            rest = [other for other in worker.lines[place + 1 :] if other.startswith("  ")]
            return "\n".join([line.removeprefix("Failed: "), *rest])
    assert worker.folder is not None
    run = RunDirectory(worker.folder)
    return f"{read_record(run).get('error', 'it failed')}; {run.log} has the traceback"


def explain_interrupt(folder: Path | None) -> Interrupted:
    """Return the Interrupted that says how to go on."""
    if folder is None or not folder.is_dir():
        return Interrupted("stopped; no run has begun")
    if is_sweep(folder):
        hint = shlex.join(["cnntrain", "resume", str(folder)])
        return Interrupted(f"{folder.name} was stopped", f"{hint}, on the command line", folder)
    path = json.dumps(str(folder), ensure_ascii=False)  # which escapes as Python does
    run, hint = RunDirectory(folder), f"run = cnntrain.load({path})"
    if read_record(run).get("status") == "finished":
        return Interrupted(f"{folder.name} had finished", hint, folder)
    saved = any(run.state.glob("*.state"))
    what = "stopped, with a checkpoint" if saved else "stopped before the first checkpoint"
    return Interrupted(f"{folder.name} was {what}", f"{hint}; run.resume()", folder)


def suggest_resume(folder: Path | None) -> str:
    """Return the line of a message that says how to go on with a run, if there is one."""
    hint = explain_interrupt(folder).hint
    return f"\n  try       {hint}" if hint else ""
