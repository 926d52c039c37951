"""The run directory: its layout, claiming it, reading and writing it.

spec.yaml    what was asked for, resolved, with the overrides that made it
run.json     status, versions, git commit, device, seed, data fingerprint, timings
history.csv  a row an epoch          steps.csv    a row every `log_every` steps
best.keras   final.keras             report.json  the results
train.log    the lines of the console, and the traceback of a failure
"""

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

from cnntrain.errors import SpecError

PACKAGES = ("cnntrain", "tensorflow", "keras", "numpy", "tensorflow-datasets", "hydra-core")


class Run:
    """One run's directory. Files are replaced whole or appended to, never half-written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.best, self.final = folder / "best.keras", folder / "final.keras"
        self.report, self.log = folder / "report.json", folder / "train.log"
        self.record = folder / "run.json"
        self.made: list[Path] = []  # the directories that claiming it made, innermost first

    @classmethod
    def claim(cls, folder: Path, spec: Mapping[str, Any], overrides: Sequence[str]) -> "Run":
        """Make the directory ours, or raise SpecError if it belongs to another run."""
        run = cls(folder)
        run.made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise FileExistsError
            with run.record.open("x", encoding="utf-8"):
                pass
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
        header = f"# cnntrain {' '.join(overrides)}".rstrip() + "\n"
        text = yaml.safe_dump(dict(spec), sort_keys=False, default_flow_style=None)
        replace(folder / "spec.yaml", header + text)
        run.update(status="running", started=now(), overrides=list(overrides), **environment())
        return run

    def discard(self) -> None:
        """Take a run back whose spec was refused after all: nothing of it was done."""
        for name in ("run.json", "spec.yaml", "train.log"):
            (self.folder / name).unlink(missing_ok=True)
        for folder in self.made:
            if not any(folder.iterdir()):
                folder.rmdir()

    def read(self) -> dict[str, Any]:
        text = self.record.read_text(encoding="utf-8")
        return json.loads(text) if text else {}

    def update(self, **values: Any) -> None:
        """Set values in run.json."""
        write_json(self.record, self.read() | values)

    def finish(self, status: str, **values: Any) -> None:
        """Record how the run ended: finished, interrupted or failed."""
        self.update(status=status, ended=now(), **values)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row to a CSV file of the run; the first row brings the header."""
        with (self.folder / name).open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row.keys())
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)

    def say(self, line: str) -> None:
        """Add a line to train.log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(line.rstrip() + "\n")

    def save(self, network: Any, path: Path) -> None:
        """Save a Keras model under its name only once it is whole."""
        unfinished = path.with_name(f"unfinished_{path.name}")
        network.save(unfinished)
        unfinished.replace(path)


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
    """Write a file whole: a temporary name, flushed to disk, renamed."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """What else a run's numbers depend on, as far as it is known without TensorFlow."""
    return {
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": git(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": sys.argv,
    }


def git() -> dict[str, Any] | None:
    """The commit of the checkout that runs, and whether it was changed; None if installed."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None

    def ask(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
