"""A command line as far as the cursor: its verb, its words, and the options that it chooses."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnntrain.cli.completion.flags import Argument, read_arguments
from cnntrain.cli.main import VERBS, find_verb
from cnntrain.files.paths import expand_user_path
from cnntrain.spec.option_files import (
    find_option_files,
    load_option,
    load_option_file,
    read_default_options,
)
from cnntrain.spec.signatures import (
    GROUPS,
    PACKAGE,
    collect_vocabulary,
    list_components,
    read_component_knobs,
    read_shared_knobs,
)
from cnntrain.spec.spec import SETTINGS

MULTIRUN_FLAGS = ("-m", "--multirun")


@dataclass(frozen=True)
class CommandLine:
    """The words of a command before the one at the cursor, without the name of the program."""

    before: Sequence[str]
    word: str

    @property
    def verb(self) -> str:
        """The verb that is given, or `train`."""
        place = find_verb(self.before)
        return "train" if place is None else self.before[place]

    @property
    def arguments(self) -> Sequence[Argument]:
        """The flags of the verb, and the words that it takes."""
        module = VERBS[self.verb]
        return read_arguments(module, "main") if module else read_arguments("cli.main", "run_verb")

    @property
    def bare_words(self) -> list[str]:
        """The words that are no flag, no value of one, no override, and not the verb."""
        place, flags = find_verb(self.before), self.arguments
        words = [word for n, word in enumerate(self.before) if n != place]
        previous = ["", *words]
        return [
            word
            for word, before in zip(words, previous, strict=False)
            if "=" not in word and not word.startswith("-") and not find_flag(flags, before)
        ]

    @property
    def is_sweep(self) -> bool:
        """Whether several values of a setting may be given."""
        return any(flag in self.before for flag in MULTIRUN_FLAGS)

    @property
    def config_dir(self) -> str | None:
        """The folder with options of the user's own, if one is given and there."""
        flags = ("--config-dir", "-cd")
        given = [
            value
            for flag, value in zip(self.before, self.before[1:], strict=False)
            if flag in flags
        ]
        return given[-1] if given and expand_user_path(given[-1]).is_dir() else None

    def get_option(self, group: str) -> str | None:
        """Return the option of a group: the one given, that of the recipe, or the default."""
        given = [word.partition("=") for word in self.before]
        chosen = {key.lstrip("+"): value for key, _, value in given}
        recipes = find_option_files("experiment", self.config_dir)
        if group not in chosen and (recipe := chosen.get("experiment")) in recipes:
            listed = load_option_file(recipes[recipe]).get("defaults", [])
            overrides = [item for item in listed if isinstance(item, dict)]
            chosen |= {k.removeprefix("override /"): v for o in overrides for k, v in o.items()}
        return chosen[group] if group in chosen else read_default_options().get(group)

    def read_knobs(self, group: str) -> Mapping[str, Any]:
        """Return the knobs of the chosen option of a group: name -> annotation."""
        option = str(self.get_option(group)).split(",")[0]  # of several in a sweep, the first
        files = find_option_files(group, self.config_dir)
        name = load_option(files[option]).get("name") if option in files else None
        own = read_component_knobs(group, name) if name in list_components(group) else {}
        return {**own, **read_shared_knobs(group)}

    def read_fields(self, key: str) -> Mapping[str, Any]:
        """Return the settings below a dotted key, that of a group or a record; `""` has all."""
        if not key:
            return SETTINGS
        first, *rest = key.split(".")
        if first == "sweep":
            file = PACKAGE / "sweeps" / "sweep.py"
            fields = collect_vocabulary(file)["SweepSettings"].fields
        elif first in GROUPS:
            fields = self.read_knobs(first)
        else:
            fields = getattr(SETTINGS.get(first), "fields", {})
        for part in rest:
            fields = getattr(fields.get(part), "fields", {})
        return fields


def read_line(line: str) -> CommandLine:
    """Return the command in a line that ends at the cursor and begins with the program's name."""
    words = split_line(line) or [""]
    return CommandLine(words[1:-1], words[-1])


def split_line(line: str) -> list[str]:
    """Return the words of a line, the last of which may be empty, or have an open quote."""
    for closing in ("", "'", '"'):
        try:
            return shlex.split(line + closing) + [""] * (not closing and line[-1:].isspace())
        except ValueError:
            continue
    return ["", ""]


def find_flag(arguments: Iterable[Argument], word: str) -> Argument | None:
    """Return the flag whose value follows a word, or None."""
    flags = [a for a in arguments if a.is_flag and a.takes_value and word in a.names]
    return flags[0] if flags else None
