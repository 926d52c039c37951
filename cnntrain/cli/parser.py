"""The argument parser of every verb: it raises SpecError like everything else."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from cnntrain.errors import SpecError, find_nearest
from cnntrain.spec import option_files


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises SpecError for a mistake."""

    def error(self, message: str) -> NoReturn:
        flag, _, value = find_flag(message).partition("=")
        hint = find_nearest(flag, self._option_string_actions)
        if hint and value and self._option_string_actions[hint].nargs != 0:
            hint = f"{hint} {value}"
        if hint is None and (
            setting := find_nearest(flag.lstrip("-"), option_files.list_settings())
        ):
            hint = f"{setting}={value or 'VALUE'}"
        raise SpecError(message, f"settings as key=value, flags as in {self.prog} --help", hint)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise SpecError for a value that is none of the choices of a flag."""
        if action.choices is None or value in action.choices:
            return
        flag = action.option_strings[-1] if action.option_strings else action.dest
        nearest = find_nearest(value, action.choices)
        raise SpecError(f"{flag} is {value}", action.choices, nearest and f"{flag} {nearest}")


def find_flag(message: str) -> str:
    """Return the flag that a message of argparse ends with, joined to a value: `--minute=1`."""
    words = message.split(" ")
    places = [n for n, word in enumerate(words) if word.startswith("-")]
    return "=".join(words[places[0] : places[0] + 2]) if places else words[-1]


def make_parser(verb: str = "") -> Parser:
    """Return the parser of a verb with the flags that all have; `--help` is only a flag."""
    parser = Parser(prog=f"cnntrain {verb}".strip(), add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    return parser


@contextlib.contextmanager
def explain_unwritable_folder(folder: Path, hint: str | None = "--output FOLDER") -> Iterator[None]:
    """Raise SpecError if the block cannot write to a folder: someone else's, or a full disk."""
    try:
        yield
    except OSError as error:
        raise SpecError(
            f"{folder} cannot be written to: {error.strerror or error}",
            "a folder of yours, with room",
            hint,
        ) from None


def make_report_parser(verb: str) -> Parser:
    parser = make_parser(verb)
    parser.add_argument("--sort")
    parser.add_argument("--output")
    parser.add_argument("--json", action="store_true")
    return parser


def make_output_folder(path: str | None) -> Path | None:
    """Return the folder of `--output`, created if missing; raise SpecError if it cannot be."""
    if path is None:
        return None
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"--output is {path}: {error.strerror}", "a folder to write into") from None
    if not os.access(folder, os.W_OK):
        raise SpecError(f"--output is {path}, which cannot be written to", "a folder of yours")
    return folder
