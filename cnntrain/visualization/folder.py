"""Where a look at a picture is written: a folder of its own, whole or not at all."""

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder

# All that is ever written there, so that nothing else is ever replaced.
LOOK_FILES = (
    "look.html", "look.json", "picture.png", "filters.png", "maps.png", "patches.png",
    "grad_cam.png", "adversarial.png", "misread.png",
)  # fmt: skip


@dataclass(frozen=True)
class OutputFolder:
    """A folder that is not there yet, or holds an older look that this one replaces."""

    path: Path

    @classmethod
    def claim(cls, output: str | None, parent: Path, name: str, origin: str) -> "OutputFolder":
        """The folder `output`; without it that of this picture below `parent`.

        Pictures of one name from several places get name, name_2, …
        Raises SpecError where nothing can be written, or where there is something else.
        """
        if output is not None:
            path = expand_folder(output, "--output").absolute()
            if path.exists() and not is_look_folder(path):
                what = "not empty" if path.is_dir() else "a file"
                raise SpecError(f"--output is {output}, which is {what}", "a new folder")
        else:
            names = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
            path = next(p for p in (parent / n for n in names) if is_replaceable(p, origin))
        check_folder_writable(path)
        return cls(path)

    @contextlib.contextmanager
    def open_draft_folder(self) -> Iterator[Path]:
        """Give a folder to write into, which takes its place once all is written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new, old = (self.path.with_name(f".{self.path.name}.{end}") for end in ("new", "old"))
        for rest in (new, old):
            remove_folder_or_link(rest)  # of a process that was killed
        new.mkdir()
        try:
            yield new
            if self.path.exists():
                self.path.rename(old)  # no system replaces a folder that holds files
            new.rename(self.path)
        finally:
            for rest in (new, old):
                remove_folder_or_link(rest)


def remove_folder_or_link(path: Path) -> None:
    """Remove a folder, or a link that lies in its place, and not what that leads to."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def is_look_folder(path: Path) -> bool:
    """Whether a folder is empty or holds a look, and nothing else."""
    return path.is_dir() and all(file.name in LOOK_FILES for file in path.iterdir())


def is_replaceable(path: Path, origin: str) -> bool:
    """Whether nothing is there, or an older look at the same picture."""
    if not path.exists():
        return True
    try:
        known = json.loads((path / "look.json").read_text(encoding="utf-8"))
        return is_look_folder(path) and known["image"] == origin
    except (OSError, ValueError, TypeError, KeyError):
        return False


def check_folder_writable(path: Path) -> None:
    """Refuse a folder that cannot be made."""
    above = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "cannot be written to" if above.is_dir() else "is a file"
        raise SpecError(f"{above} {what}", "a folder of yours", "--output FOLDER")
