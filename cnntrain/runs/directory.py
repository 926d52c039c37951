"""The run directory: its layout, claiming it, reading and writing it.

spec.yaml    what was asked for, resolved, with the overrides that made it
run.json     status, options chosen, versions, git commit, device, seed, data fingerprint, timings
history.csv  a row an epoch          steps.csv    a row every `log_every` steps
best.keras   final.keras             report.json  the results
ema.keras    refit.keras             where asked for: averaged weights, a refit on train + valid
train.log    the lines of the console, and the traceback of a failure
state/       what `cnntrain resume` goes on from: the last checkpoint and the one before
"""

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.files.documents import read_mapping, replace_nonfinite, write_json
from cnntrain.files.locks import acquire_lock
from cnntrain.files.writing import (
    UNFINISHED_PREFIX,
    check_links_inside,
    clear_unfinished,
    open_existing,
    overwrite_in_place,
    replace_by_file,
    replace_by_path,
    write_whole,
)
from cnntrain.runs.environment import describe_environment, format_time_now
from cnntrain.spec.places import resolve_relative_paths

FORMAT = 1  # of a run's directory; a higher one means that files have another meaning
WEIGHTS = ("best", "final", "ema", "refit")  # each in its own .keras file

# What a sweep keeps in the directory of a job before, and after, it is that of a run.
JOB_FILES = ("job.json", "console.log")


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
        self.history, self.steps = folder / "history.csv", folder / "steps.csv"
        self.files_before: dict[Path, str] = {}
        self.made_folders: list[Path] = []  # the directories that claiming it made, innermost first

    @classmethod
    def claim(
        cls,
        folder: Path,
        spec: Mapping[str, Any],
        overrides: Sequence[str],
        choices: Mapping[str, str] | None = None,
    ) -> "Run":
        """Make the directory ours, or raise SpecError if it belongs to another run.

        `choices` is the option of each group, as far as options were chosen.
        """
        run = cls(folder)
        begun = {"format": FORMAT, "status": "running", "started": format_time_now()}
        record = describe_environment() | begun | {"overrides": [*overrides]}
        record["choices"] = dict(choices or {})
        record["paths"] = resolve_relative_paths(spec)
        try:
            run.made_folders = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            if not all(is_job_file(path) for path in folder.iterdir()):
                raise FileExistsError
            run.state.mkdir()  # whoever makes it has the run
        except FileExistsError:
            raise SpecError(
                f"{folder} {describe_content(folder)}",
                "a directory of its own for every run",
                "leave hydra.run.dir out, or name a new one",
            ) from None
        except OSError as error:
            remove_empty_folders(run.made_folders)
            raise explain_unwritable(folder, error) from error
        try:
            run.lock_folder()
            run.write_spec(spec, overrides)
            write_json(run.record, record)  # where it is, all is there that a resume needs
        except OSError as error:
            run.discard()
            raise explain_unwritable(folder, error) from error
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
        check_links_inside(folder)
        run.lock_folder()
        for left in (folder, run.state):
            clear_unfinished(left)
        return run

    def lock_folder(self) -> None:
        """Keep other processes off the run as long as this one lives."""
        try:
            acquire_lock(self.lock, 0)
        except Timeout:
            raise SpecError(
                f"{self.folder} is being trained by another process",
                "a run that nothing is at work on",
                "wait for it, or stop it",
            ) from None

    def record_resume(self, spec: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Begin another life of the run, with what was changed for it."""
        record = self.read_run_json()
        self.files_before = {
            path: path.read_text(encoding="utf-8") for path in (self.record, self.spec)
        }
        self.write_spec(spec, [*record.get("overrides", []), *overrides])
        resumed = [*record.get("resumed", []), format_time_now()]
        self.update_run_json(**describe_environment(), status="running", resumed=resumed)

    def restore_files(self) -> None:
        """Leave the run as it was before a life that was refused."""
        for path, text in self.files_before.items():
            write_whole(path, text)

    def write_spec(self, spec: Mapping[str, Any], overrides: Sequence[str]) -> None:
        words = escape_unprintable(" ".join(overrides))  # a line break would end the comment
        header = f"# cnntrain {words}".rstrip() + "\n"
        text = yaml.safe_dump(dict(spec), sort_keys=False, default_flow_style=None)
        write_whole(self.spec, header + text)

    def discard(self) -> None:
        """Take a run back whose spec was refused after all, unless something of it was done."""
        if any(self.state.glob("*.state")):
            self.record_end("failed", error="refused after it had begun")
            return
        self.lock.release()
        shutil.rmtree(self.origin, ignore_errors=True)
        for name in ("run.json", "spec.yaml", "train.log", "state/lock"):
            (self.folder / name).unlink(missing_ok=True)
        remove_empty_folders(
            [self.state, *self.made_folders]
        )  # a directory that another run is in stays

    def read_run_json(self) -> dict[str, Any]:
        """What run.json says; SpecError if it is damaged."""
        return read_mapping(self.record)

    def update_run_json(self, **values: Any) -> None:
        """Set values in run.json."""
        write_json(self.record, self.read_run_json() | values)

    def record_end(self, status: str, **values: Any) -> None:
        """Record how the run ended: finished, interrupted or failed; finished it stays."""
        if self.read_run_json().get("status") == "finished":
            return
        self.update_run_json(status=status, ended=format_time_now(), **values)

    def record_end_in_place(self, status: str, **values: Any) -> None:
        """Record an end where the disk has no room for a second run.json, if the first has some."""
        record = self.read_run_json() | {"status": status, "ended": format_time_now(), **values}
        with contextlib.suppress(OSError):
            overwrite_in_place(self.record, json.dumps(replace_nonfinite(record)) + "\n")

    def append_row(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row to a CSV file of the run; the first row brings the header.

        A table that an older version began keeps its columns.
        """
        path = self.folder / name
        with open_existing(path, "a+", newline="", encoding="utf-8") as file:
            file.seek(0)
            header = next(csv.reader([file.readline().removeprefix("\ufeff")]))
            writer = csv.DictWriter(file, header or row.keys(), "", extrasaction="ignore")
            if not header:
                writer.writeheader()
            writer.writerow(row)

    def count_table_bytes(self, name: str) -> int:
        """The bytes of a CSV file of the run, once they are safe on disk."""
        path = self.folder / name
        if not path.exists():
            return 0
        with open_existing(path, "ab") as file:
            os.fsync(file.fileno())
            return file.tell()

    def truncate_table(self, name: str, length: int) -> bool:
        """Cut from a CSV file what a life that was killed wrote after its last checkpoint.

        Returns whether the rows before are all there; of others only whole ones are kept.
        """
        path = self.folder / name
        if not path.exists():
            return length == 0
        with open_existing(path, "rb+") as file:
            content = file.read(length).partition(b"\0")[0]  # as a lost disk cache leaves it
            kept = content.rfind(b"\n") + 1
            file.truncate(kept)
        return kept == length

    def log_line(self, line: str) -> None:
        """Add a line to train.log."""
        with open_existing(self.log, "a", encoding="utf-8") as file:
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
                write_whole(self.origin / "run.json", record.read_bytes())
            with file.open("rb") as content, replace_by_file(copy) as written:
                shutil.copyfileobj(content, written)
        return copy

    def save_network(self, network: Any, path: Path) -> None:
        """Save a Keras model under its name only once it is whole."""
        with replace_by_path(path) as unfinished:
            network.save(unfinished)


def describe_content(folder: Path) -> str:
    if not folder.is_dir():
        return "is a file"
    return "already holds a run" if Run(folder).record.exists() else "is not empty"


def is_job_file(path: Path) -> bool:
    """Whether a file is one that a sweep keeps in a job's directory, or is just writing there."""
    return path.name in JOB_FILES or path.name.startswith(UNFINISHED_PREFIX)


def remove_empty_folders(folders: Sequence[Path]) -> None:
    """Remove directories, innermost first, up to one that is not empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def explain_unwritable(folder: Path, error: OSError, setting: str = "hydra.run.dir") -> SpecError:
    return SpecError(
        f"{folder} cannot be written: {error.strerror or error}",
        "a directory that you may write to, with room",
        f"{setting}=/another/place",
    )
