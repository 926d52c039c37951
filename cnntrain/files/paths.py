"""Paths that people write: `~` is expanded, and an impossible path raises SpecError."""

import os
from pathlib import Path

from cnntrain.errors import SpecError


def expand_folder(text: str, setting: str) -> Path:
    """Return the path of a setting with `~` expanded; raise SpecError if it cannot be a path."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (RuntimeError, OSError, ValueError) as error:
        raise SpecError(f"{setting} is {text}", f"a path that can be: {error}") from None
    return path


def shorten_path(path: Path) -> str:
    """Return a path from the working directory, if it lies in it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def expand_user_path(text: str) -> Path:
    """Return a path with `~` expanded; the `~name` of an unknown user stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises
