"""Paths that people name: `~` and a path that cannot be, answered."""

import os
from pathlib import Path

from cnntrain.errors import SpecError


def expand_folder(text: str, setting: str) -> Path:
    """A path of the spec, with `~` for the home of its user."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (RuntimeError, OSError, ValueError) as error:
        raise SpecError(f"{setting} is {text}", f"a path that can be: {error}") from None
    return path


def expand_user_path(text: str) -> Path:
    """A path as people write it, with ~ for a home; the ~ of nobody stays, and is not there."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises
