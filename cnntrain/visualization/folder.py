"""The folder that `cnntrain look` writes: all of its files appear at once, or none does."""

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

# All files that are ever written there. A folder with any other file is never replaced.
LOOK_FILES = (
    "look.html", "look.json", "picture.png", "filters.png", "maps.png", "patches.png",
    "grad_cam.png", "adversarial.png", "misread.png",
)  # fmt: skip


@dataclass(frozen=True)
class OutputFolder:
    """A folder that does not exist yet, is empty, or holds an older look, which is replaced."""

    path: Path

    @classmethod
    def claim(cls, output: str | None, parent: Path, name: str, origin: str) -> "OutputFolder":
        """Return the folder `output`, or without it the folder for this picture below `parent`.

        `name` is the name of the picture and `origin` says where it came from: pictures with the
        same name from several places get folders name, name_2 and so on. Raises SpecError if the
        folder cannot be written, or holds something else than a look.
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
        """Yield a temporary folder to write to, and move it to `path` after the block.

        If the block raises, an older look stays as it was.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new, old = (self.path.with_name(f".{self.path.name}.{end}") for end in ("new", "old"))
        for rest in (new, old):
            remove_folder_or_link(rest)  # a killed process may have left it
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
    """Remove a folder with its content; of a symbolic link, remove the link alone."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def is_look_folder(path: Path) -> bool:
    """Return whether `path` is a folder that is empty or holds only the files of a look."""
    return path.is_dir() and all(file.name in LOOK_FILES for file in path.iterdir())


def is_replaceable(path: Path, origin: str) -> bool:
    """Return whether `path` does not exist, or holds an older look at the picture from `origin`."""
    if not path.exists():
        return True
    try:
        facts = json.loads((path / "look.json").read_text(encoding="utf-8"))
        return is_look_folder(path) and facts["image"] == origin
    except (OSError, ValueError, TypeError, KeyError):
        return False


def check_folder_writable(path: Path) -> None:
    """Raise SpecError if the folder `path` cannot be created or written to."""
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        what = "cannot be written to" if existing.is_dir() else "is a file"
        raise SpecError(f"{existing} {what}", "a folder of yours", "--output FOLDER")
