"""The run directory: its layout, claiming it, reading and writing it.

spec.yaml    what was asked for, resolved, with the overrides that made it
run.json     status, versions, git commit, device, seed, data fingerprint, timings
history.csv  a row an epoch          steps.csv    a row every `log_every` steps
best.keras   final.keras             report.json  the results
ema.keras    refit.keras             where asked for: averaged weights, a refit on train + valid
train.log    the lines of the console, and the traceback of a failure
state/       what `cnntrain resume` goes on from: the last state and the one before
"""

import contextlib
import csv
import importlib.metadata
import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from cnntrain.errors import SpecError, printable
from cnntrain.places import absolute_paths

FORMAT = 1  # of a run's directory; a higher one means that files have another meaning
PACKAGES = (
    "cnntrain", "tensorflow", "keras", "numpy", "tensorflow-datasets", "scikit-learn", "pillow",
    "hydra-core",
)  # fmt: skip
WEIGHTS = ("best", "final", "ema", "refit")  # each in its own .keras file

# What a sweep keeps in the directory of a job before, and after, it is that of a run.
OF_A_JOB = ("job.json", "console.log")


class Run:
    """One run's directory. Files are replaced whole or appended to, never half-written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.best, self.final = folder / "best.keras", folder / "final.keras"
        self.ema, self.refit = folder / "ema.keras", folder / "refit.keras"
        self.report, self.log = folder / "report.json", folder / "train.log"
        self.state, self.spec = folder / "state", folder / "spec.yaml"
        self.origin = self.state / "init_from"  # a copy of the weights that it begins with
        self.lock = FileLock(folder / "state" / "lock")  # held by the process that trains
        self.record = folder / "run.json"
        self.before: dict[Path, str] = {}
        self.made: list[Path] = []  # the directories that claiming it made, innermost first

    @classmethod
    def claim(cls, folder: Path, spec: Mapping[str, Any], overrides: Sequence[str]) -> "Run":
        """Make the directory ours, or raise SpecError if it belongs to another run."""
        run = cls(folder)
        begun = {"format": FORMAT, "status": "running", "started": now()}
        record = environment() | begun | {"overrides": [*overrides]}
        record["paths"] = absolute_paths(spec)
        try:
            run.made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            if any(path.name not in OF_A_JOB for path in folder.iterdir()):
                raise FileExistsError
            run.state.mkdir()  # whoever makes it has the run
        except FileExistsError:
            raise SpecError(
                f"{folder} {what_fills(folder)}",
                "a directory of its own for every run",
                "leave hydra.run.dir out, or name a new one",
            ) from None
        except OSError as error:
            raise SpecError(
                f"{folder} cannot be written: {error.strerror}",
                "a directory that you may write to",
                "hydra.run.dir=/another/place",
            ) from error
        run.hold()
        run.write_spec(spec, overrides)
        write_json(run.record, record)  # where it is, all is there that a resume needs
        return run

    @classmethod
    def reopen(cls, folder: Path) -> "Run":
        """The run in a directory, or SpecError if there is none or a process is at work on it."""
        run = cls(folder)
        if not (run.record.is_file() and run.spec.is_file()):
            raise SpecError(
                f"{folder} holds no run",
                "a directory with run.json and spec.yaml, as cnntrain leaves it below outputs/",
            )
        run.hold()
        return run

    def hold(self) -> None:
        """Keep other processes off the run as long as this one lives."""
        try:
            self.lock.acquire(blocking=False)
        except Timeout:
            raise SpecError(
                f"{self.folder} is being trained by another process",
                "a run that nothing is at work on",
                "wait for it, or stop it",
            ) from None

    def go_on(self, spec: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Begin another life of the run, with what was changed for it."""
        record = self.read()
        self.before = {path: path.read_text(encoding="utf-8") for path in (self.record, self.spec)}
        self.write_spec(spec, [*record.get("overrides", []), *overrides])
        resumed = [*record.get("resumed", []), now()]
        self.update(**environment(), status="running", resumed=resumed)

    def put_back(self) -> None:
        """Leave the run as it was before a life that was refused."""
        for path, text in self.before.items():
            replace(path, text)

    def write_spec(self, spec: Mapping[str, Any], overrides: Sequence[str]) -> None:
        words = printable(" ".join(overrides))  # a line break would end the comment
        header = f"# cnntrain {words}".rstrip() + "\n"
        text = yaml.safe_dump(dict(spec), sort_keys=False, default_flow_style=None)
        replace(self.spec, header + text)

    def discard(self) -> None:
        """Take a run back whose spec was refused after all, unless something of it was done."""
        if any(self.state.glob("*.state")):
            self.finish("failed", error="refused after it had begun")
            return
        self.lock.release()
        shutil.rmtree(self.origin, ignore_errors=True)
        for name in ("run.json", "spec.yaml", "train.log", "state/lock"):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a directory that another run is in stays
            for folder in (self.state, *self.made):
                folder.rmdir()

    def read(self) -> dict[str, Any]:
        text = self.record.read_text(encoding="utf-8")
        return json.loads(text) if text else {}

    def update(self, **values: Any) -> None:
        """Set values in run.json."""
        write_json(self.record, self.read() | values)

    def finish(self, status: str, **values: Any) -> None:
        """Record how the run ended: finished, interrupted or failed; finished it stays."""
        if self.read().get("status") == "finished":
            return
        self.update(status=status, ended=now(), **values)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row to a CSV file of the run; the first row brings the header."""
        with (self.folder / name).open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row.keys())
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)

    def length(self, name: str) -> int:
        """The bytes of a CSV file of the run, once they are safe on disk."""
        path = self.folder / name
        if not path.exists():
            return 0
        with path.open("ab") as file:
            os.fsync(file.fileno())
            return file.tell()

    def shorten(self, name: str, length: int) -> None:
        """Cut from a CSV file what a life that was killed wrote after its last state."""
        path = self.folder / name
        if path.exists():
            os.truncate(path, length)

    def say(self, line: str) -> None:
        """Add a line to train.log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(line.rstrip() + "\n")

    def keep_origin(self, file: Path) -> Path:
        """Return a copy of the weights that the run begins with, and of the run they are from.

        With it a resume and a refit do not depend on what becomes of the original.
        """
        copy = self.origin / file.name
        if not copy.exists():
            self.origin.mkdir(parents=True, exist_ok=True)
            record = file.parent / "run.json"
            if record.is_file():
                shutil.copyfile(record, self.origin / "run.json")
            unfinished = copy.with_name(f"unfinished_{file.name}")
            shutil.copyfile(file, unfinished)
            unfinished.replace(copy)
        return copy

    def save(self, network: Any, path: Path) -> None:
        """Save a Keras model under its name only once it is whole."""
        unfinished = path.with_name(f"unfinished_{path.name}")
        try:
            network.save(unfinished)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def trained(path: str) -> tuple[Path, dict[str, Any]]:
    """The file of weights that a run's directory, or a path to a file, stands for; its run.json.

    Raises SpecError for what is neither.
    """
    given = Path(path).expanduser()
    folder = given if given.is_dir() else given.parent
    record = folder / "run.json"
    found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if given.is_dir():
        given = next(
            (f for f in (folder / "best.keras", folder / "final.keras") if f.is_file()), given
        )
    if not given.is_file() or given.suffix not in (".keras", ".h5"):
        raise SpecError(
            f"model.init_from is {path}, which is "
            + ("no run with weights" if given.is_dir() else "no .keras or .h5 file"),
            "the directory of a run, or a .keras or .h5 file of weights",
        )
    return given, found


def what_fills(folder: Path) -> str:
    if not folder.is_dir():
        return "is a file"
    return "already holds a run" if Run(folder).record.exists() else "is not empty"


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file; what JSON cannot say (nan, inf) becomes null."""
    replace(path, json.dumps(finite(value), indent=2) + "\n")


def finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def replace(path: Path, text: str) -> None:
    """Write a file whole: a temporary name, flushed to disk, renamed; or else leave nothing."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # a full disk
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """What else a run's numbers depend on, as far as it is known without TensorFlow."""
    return {
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in [*PACKAGES, *other_backend()]},
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "git": git(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": sys.argv,
    }


def other_backend() -> list[str]:
    """The packages of a backend that is not TensorFlow."""
    return ["jax", "jaxlib"] if os.environ.get("KERAS_BACKEND") == "jax" else []


def git() -> dict[str, Any] | None:
    """The commit of the checkout that runs, and whether it was changed; None if installed."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None

    def ask(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    commit = ask("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain"))} if commit else None
