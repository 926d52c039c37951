"""The words that may stand at the cursor of a command line, from the catalogue of options.

Nothing is composed, and no verb is imported: the answer takes little more than Python's start.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cnntrain.cli.completion.flags import locate_module, read_constant_of_module
from cnntrain.cli.completion.line import CommandLine, find_flag, read_line
from cnntrain.cli.completion.settings import describe_options, list_keys, list_values
from cnntrain.cli.main import VERBS
from cnntrain.spec.option_files import CHOICES

PATH_FLAGS = (
    "--config-dir", "--output", "--figure", "--diagram", "--apply", "--run", "--from",
)  # fmt: skip
NAMES_FIRST = {"data": 1, "list": 2}  # words that stand before any setting
RUNS = Path("outputs")  # where runs and sweeps lie, if nobody says otherwise
MARKS = ("run.json", "sweep.yaml")  # files that a run, or a sweep, has


@dataclass(frozen=True)
class Candidates:
    """Words that may stand at the cursor, with what they mean; or else a path, if one may stand."""

    words: Mapping[str, str]
    else_path: bool = False

    def select(self, beginning: str) -> "Candidates":
        """Return the candidates that begin so."""
        words = {word: text for word, text in self.words.items() if word.startswith(beginning)}
        return Candidates(words, self.else_path)


def complete_line(line: str) -> Candidates:
    """Return what may stand at the end of a line, which begins with the name of the program."""
    command = read_line(line)
    return find_candidates(command).select(command.word)


def find_candidates(command: CommandLine) -> Candidates:
    """Return what may stand at the cursor: a flag or its value, a verb, a setting or its value."""
    if flag := find_flag(command.arguments, ["", *command.before][-1]):
        if flag.names[-1] == "--model":
            return Candidates(describe_options("model", command.config_dir))
        else_path = any(name in PATH_FLAGS for name in flag.names)
        return Candidates(dict.fromkeys(flag.choices, ""), else_path)
    if command.word.startswith("-"):
        flags = [argument for argument in command.arguments if argument.is_flag]
        return Candidates({name: "" for flag in flags for name in flag.names})
    if "=" in command.word:
        return Candidates(*list_values(command))
    words, else_path = list_bare_words(command)
    if len(command.bare_words) < NAMES_FIRST.get(command.verb, 0):
        return Candidates(words)
    takes_keys = {"words", "overrides"} & {argument.names[0] for argument in command.arguments}
    if takes_keys and (command.word or not else_path):
        words |= list_keys(command)
    return Candidates(words, else_path)


def list_bare_words(command: CommandLine) -> tuple[dict[str, str], bool]:
    """Return the words that a verb takes besides settings, and whether a path may stand there."""
    given, config_dir = command.bare_words, command.config_dir
    if command.verb == "train":
        return ({} if command.before else dict.fromkeys(VERBS, "")), False
    if command.verb == "list":
        if given == ["model"]:
            return describe_options("model", config_dir), False
        return ({} if given else dict.fromkeys((*CHOICES, "applications"), "")), False
    if command.verb == "reproduce":
        return ({} if given else describe_options("experiment", config_dir)), False
    if command.verb == "data":
        if not given:
            return dict.fromkeys(find_data_verbs(), ""), False
        wanted = given in (["prepare"], ["verify"], ["preview"])
        return (describe_options("dataset", config_dir) if wanted else {}), given[0] == "preview"
    taken = {a.names[0]: a for a in command.arguments if not a.is_flag}
    if "shell" in taken:
        return dict.fromkeys(taken["shell"].choices, ""), False
    takes_one = "run" in taken or "path" in taken
    if set(taken) <= {"overrides"} or (takes_one and given):
        return {}, False
    takes_several = "paths" in taken or command.verb == "evaluate"
    if command.verb == "fit" or (given and not takes_several):
        return {}, True
    return dict.fromkeys(find_run_folders(), ""), True


def find_data_verbs() -> list[str]:
    """Return the verbs behind `cnntrain data`."""
    return list(read_constant_of_module("USAGE", locate_module("cnntrain.cli.data.command")))


def find_run_folders() -> Iterator[str]:
    """Yield the runs and sweeps in `outputs`, the newest first."""
    folders = sorted(RUNS.iterdir(), reverse=True) if RUNS.is_dir() else []
    yield from (str(f) for f in folders if any((f / mark).is_file() for mark in MARKS))
