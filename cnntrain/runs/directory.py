"""The run directory: its layout, claiming it, reading and writing it.

spec.yaml    the composed settings, with the overrides of the command in a comment
run.json     status, options chosen, versions, git commit, device, seed, data fingerprint, timings
history.csv  a row an epoch          steps.csv    a row every `log_every` steps
best.keras   final.keras             report.json  the results
ema.keras    refit.keras             with ema_decay: the EMA; with refit: trained on train + valid
train.log    the lines of the console, and the traceback of a failure
state/       the last two checkpoints, from which `cnntrain resume` goes on
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
from cnntrain.runs.tables import TableWriter
from cnntrain.spec.places import resolve_relative_paths

FORMAT = 1  # the version of the layout; a reader refuses a higher one
WEIGHTS = ("best", "final", "ema", "refit")  # each in its own .keras file

# The files that a sweep writes into a job's directory, which becomes that of a run.
JOB_FILES = ("job.json", "console.log")


class Run:
    """One run's directory. Files are replaced whole or appended to, never half-written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.best, self.final = folder / "best.keras", folder / "final.keras"
        self.ema, self.refit = folder / "ema.keras", folder / "refit.keras"
        self.report, self.log = folder / "report.json", folder / "train.log"
        self.state, self.spec = folder / "state", folder / "spec.yaml"
        self.origin = self.state / "init_from"  # a copy of the weights that training begins with
        self.lock = FileLock(folder / "state" / "lock")  # held by the process that trains
        self.record = folder / "run.json"
        self.history, self.steps = folder / "history.csv", folder / "steps.csv"
        self.files_before: dict[Path, str] = {}
        self.made_folders: list[Path] = []  # the directories that `claim` made, innermost first

    @classmethod
    def claim(
        cls,
        folder: Path,
        spec: Mapping[str, Any],
        overrides: Sequence[str],
        choices: Mapping[str, str] | None = None,
    ) -> "Run":
        """Create a run in `folder`, and lock it.

        `choices` has the option of each group that was chosen by name. Raises SpecError if the
        folder is not empty or cannot be written.
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
            run.state.mkdir()  # of two processes, the one that makes it has the run
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
            write_json(run.record, record)  # last: a directory with run.json can be resumed
        except OSError as error:
            run.discard()
            raise explain_unwritable(folder, error) from error
        except BaseException:  # Ctrl-C: nobody could go on with half a directory
            run.discard()
            raise
        return run

    @classmethod
    def reopen(cls, folder: Path) -> "Run":
        """Return the run in `folder`, locked.

        Raises SpecError if there is no run, or another process is training it.
        """
        run = cls(folder)
        if not (run.record.is_file() and run.spec.is_file()):
            raise SpecError(
                f"{folder} holds no run",
                "a directory with run.json and spec.yaml, as cnntrain leaves it below outputs/",
            )
        check_links_inside(folder)
        run.lock_folder()
        for part in (folder, run.state):
            clear_unfinished(part)
        return run

    def lock_folder(self) -> None:
        """Lock the run until this process ends; raise SpecError if another one has locked it."""
        try:
            acquire_lock(self.lock, 0)
        except Timeout:
            raise SpecError(
                f"{self.folder} is being trained by another process",
                "a run that nothing is at work on",
                "wait for it, or stop it",
            ) from None

    def record_resume(self, spec: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Record that the run is resumed, with the spec and the overrides that changed it."""
        record = self.read_run_json()
        self.files_before = {
            path: path.read_text(encoding="utf-8") for path in (self.record, self.spec)
        }
        self.write_spec(spec, [*record.get("overrides", []), *overrides])
        resumed = [*record.get("resumed", []), format_time_now()]
        changes = [*record.get("changes", []), *overrides]
        self.update_run_json(
            **describe_environment(), status="running", resumed=resumed, changes=changes
        )

    def restore_files(self) -> None:
        """Restore run.json and spec.yaml after a resume whose spec was refused."""
        for path, text in self.files_before.items():
            write_whole(path, text)

    def write_spec(self, spec: Mapping[str, Any], overrides: Sequence[str]) -> None:
        words = escape_unprintable(" ".join(overrides))  # a line break would end the comment
        header = f"# cnntrain {words}".rstrip() + "\n"
        text = yaml.safe_dump(dict(spec), sort_keys=False, default_flow_style=None)
        write_whole(self.spec, header + text)

    def discard(self) -> None:
        """Remove a run whose spec was refused; one with a checkpoint stays, recorded as failed."""
        if any(self.state.glob("*.state")):
            self.record_end("failed", error="refused after it had begun")
            return
        self.lock.release()
        shutil.rmtree(self.origin, ignore_errors=True)
        for name in ("run.json", "spec.yaml", "train.log", "state/lock"):
            (self.folder / name).unlink(missing_ok=True)
        # A directory that holds another run by now is not empty, and stays.
        remove_empty_folders([self.state, *self.made_folders])

    def read_run_json(self) -> dict[str, Any]:
        """Return the content of run.json; raise SpecError if it is damaged."""
        return read_mapping(self.record)

    def update_run_json(self, **values: Any) -> None:
        """Set values in run.json."""
        write_json(self.record, self.read_run_json() | values)

    def record_end(self, status: str, **values: Any) -> None:
        """Record that the run is finished, interrupted or failed; a finished run stays finished."""
        if self.read_run_json().get("status") == "finished":
            return
        self.update_run_json(status=status, ended=format_time_now(), **values)

    def record_end_in_place(self, status: str, **values: Any) -> None:
        """Record how the run ended by writing over run.json, on a disk without room for another.

        Nothing is written if the file itself is too short.
        """
        record = self.read_run_json() | {"status": status, "ended": format_time_now(), **values}
        with contextlib.suppress(OSError):
            overwrite_in_place(self.record, json.dumps(replace_nonfinite(record)) + "\n")

    def open_table(self, name: str) -> TableWriter:
        """Open a CSV file of the run to append rows to it."""
        return TableWriter(self.folder / name)

    def append_row(self, name: str, row: Mapping[str, Any]) -> None:
        """Append a row to a CSV file of the run."""
        with self.open_table(name) as table:
            table.append_row(row)

    def count_table_bytes(self, name: str) -> int:
        """Return the length of a CSV file of the run in bytes; 0 if there is none."""
        path = self.folder / name
        return path.stat().st_size if path.exists() else 0

    def truncate_table(self, name: str, length: int) -> bool:
        """Cut a CSV file to `length` bytes: a killed process wrote more after its last checkpoint.

        Returns whether all of these bytes are there; if not, the whole rows among them are kept.
        """
        path = self.folder / name
        if not path.exists():
            return length == 0
        with open_existing(path, "rb+") as file:
            content = file.read(length).partition(b"\0")[0]  # a power cut leaves zeros
            kept = content.rfind(b"\n") + 1
            file.truncate(kept)
        return kept == length

    def log_line(self, line: str) -> None:
        """Add a line to train.log."""
        with open_existing(self.log, "a", encoding="utf-8") as file:
            file.write(line.rstrip() + "\n")

    def keep_origin(self, file: Path) -> Path:
        """Copy the weights that the run begins with, and the run.json beside them; return the copy.

        A resume and a refit read the copy, so that the original may change.
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
        """Save a Keras model; the file gets its name only once it is whole."""
        with replace_by_path(path) as unfinished:
            network.save(unfinished)


@contextlib.contextmanager
def claim_temporary_run(spec: Mapping[str, Any], overrides: Sequence[str] = ()) -> Iterator[Run]:
    """Yield a new run in a temporary folder, which is removed after the block."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.claim(Path(folder) / "run", spec, overrides)
        try:
            yield run
        finally:
            run.lock.release()  # Windows removes no folder that has an open file in it


def describe_content(folder: Path) -> str:
    if not folder.is_dir():
        return "is a file"
    return "already holds a run" if Run(folder).record.exists() else "is not empty"


def is_job_file(path: Path) -> bool:
    """Whether a sweep keeps this file in a job's directory, or is writing it at the moment."""
    return path.name in JOB_FILES or path.name.startswith(UNFINISHED_PREFIX)


def remove_empty_folders(folders: Sequence[Path]) -> None:
    """Remove directories, innermost first, until one is not empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def explain_unwritable(folder: Path, error: OSError, setting: str = "hydra.run.dir") -> SpecError:
    return SpecError(
        f"{folder} cannot be written: {error.strerror or error}",
        "a directory that you may write to, with room",
        f"{setting}=/another/place",
    )
