"""The settings that may stand at the cursor, and the words that may be their values."""

import types
from typing import Any, Literal, Union, get_args, get_origin

from cnntrain.cli.completion.line import CommandLine
from cnntrain.spec.build import MAY_BE_AUTO
from cnntrain.spec.knobs import NestedComponent, Record, format_value
from cnntrain.spec.option_files import CHOICES, CONF, find_option_files, read_summary
from cnntrain.spec.places import ORIGIN_SETTING, PATH_SETTINGS
from cnntrain.spec.signatures import GROUPS
from cnntrain.spec.spec import MAY_CHANGE

PATHS = (*PATH_SETTINGS, ORIGIN_SETTING, "model.weights", "hydra.run.dir", "hydra.sweep.dir")
HYDRA_GROUPS = ("hydra/launcher", "hydra/sweeper")


def list_keys(command: CommandLine) -> dict[str, str]:
    """Return the settings that a word may become: `model=`, `epochs=`, `loss.`, `model.hidden=`."""
    if command.verb == "resume":
        return {f"{key}=": "" for key in MAY_CHANGE}
    parent, dot, _ = command.word.rpartition(".")
    fields = command.read_fields(parent)
    keys = [
        f"{parent}{dot}{key}" + ("." if isinstance(kind, Record) else "=")
        for key, kind in fields.items()
    ]
    if not dot:
        keys = [f"{group}=" for group in CHOICES] + keys
        keys += [f"{group}." for group in GROUPS if command.word == group]
        keys += ["hydra.run.dir="] if command.word.startswith("h") else []
        if command.is_sweep:
            keys += ["sweep.", *(f"{group}=" for group in HYDRA_GROUPS), "hydra.sweep.dir="]
    if command.verb == "evaluate":
        keys = [key for key in keys if key.startswith("dataset")]
    return dict.fromkeys(keys, "")


def list_values(command: CommandLine) -> tuple[dict[str, str], bool]:
    """Return the values of the setting at the cursor, and whether a path may stand there.

    Each has the setting before it.
    """
    stated, _, value = command.word.partition("=")
    key, before = stated.lstrip("+"), f"{stated}="
    if key in PATHS:
        return {}, True
    if command.is_sweep and "," in value:
        before += value.rpartition(",")[0] + ","
    if key in CHOICES:
        words = describe_options(key, command.config_dir)
    elif key in HYDRA_GROUPS:
        words = {f.stem: read_summary(f) for f in sorted((CONF / key).glob("*.yaml"))}
    else:
        parent, _, last = key.rpartition(".")
        annotation = command.read_fields(parent).get(last)
        words = list_annotated_words(annotation, command.config_dir) if annotation else {}
        words |= {"auto": ""} if key in MAY_BE_AUTO else {}
    return {before + word: text for word, text in words.items()}, False


def list_annotated_words(annotation: Any, config_dir: str | None) -> dict[str, str]:
    """Return the words among the values that an annotation admits, with what they mean."""
    if annotation is type(None):
        return {"null": ""}
    if annotation is bool:
        return {"true": "", "false": ""}
    if isinstance(annotation, NestedComponent):
        return describe_options(annotation.group, config_dir)
    if get_origin(annotation) is Literal:
        return {format_value(value): "" for value in get_args(annotation)}
    if get_origin(annotation) in (types.UnionType, Union):
        alternatives = [list_annotated_words(a, config_dir) for a in get_args(annotation)]
        return {word: text for words in alternatives for word, text in words.items()}
    return {}


def describe_options(group: str, config_dir: str | None) -> dict[str, str]:
    """Return the options of a group with the first lines of their files."""
    return {name: read_summary(file) for name, file in find_option_files(group, config_dir).items()}
