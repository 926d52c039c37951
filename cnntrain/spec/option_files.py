"""What there is to choose from: the options of each group, with the first line of each file."""

import contextlib
import functools
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.files import documents
from cnntrain.files.paths import expand_user_path
from cnntrain.spec.signatures import GROUPS, PACKAGE

# The wheel carries conf/ inside the package; in a checkout it stands at the top.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"

# What can be chosen by name: the groups, and recipes, which choose an option of every group.
CHOICES = (*GROUPS, "experiment")


def find_option_files(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """The options of a group: name -> YAML file; a file in `config_dir` adds one."""
    own = find_config_folder(config_dir)
    folders = [CONF / group] + ([own / group] if own else [])
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    listed: dict[str, Path] = {}
    for file in files:
        if file.stem in listed:
            raise SpecError(
                f"{file} has the name of an option of ours",
                "another name",
                f"{group}={file.stem}_mine",
            )
        if file.is_file():
            listed[file.stem] = file
    return listed


def find_config_folder(config_dir: str | None) -> Path | None:
    """The user's own folder of options, or None; SpecError if it is not there."""
    if config_dir is None:
        return None
    expected = "a folder with folders such as model/ and dataset/"
    if config_dir and (folder := expand_user_path(config_dir).absolute()).is_dir():
        check_option_files(folder)
        return folder
    raise SpecError(f"--config-dir is {config_dir or 'empty'}, which is no folder", expected)


@functools.cache
def check_option_files(folder: Path) -> None:
    """Refuse a folder with a file of aliases of aliases, which Hydra would write out.

    One option may name others in its `defaults`, so that all are looked at.
    """
    files = [file for depth in ("*", "*/*", "*/*/*") for file in folder.glob(f"{depth}.yaml")]
    for file in files:
        with contextlib.suppress(OSError, ValueError):  # what is wrong with it is said if chosen
            text = documents.read_text(file, documents.LARGE_BYTES) if file.is_file() else ""
            if "*" in text:
                try:
                    documents.parse_yaml(text)
                except documents.DocumentTooLarge as error:
                    raise SpecError(f"{file}: {error}", "an option, of some settings") from None


def load_option(file: Path) -> dict[str, Any]:
    """Return the name of an option's component and the knobs that its file states."""
    return {key: value for key, value in load_option_file(file).items() if key != "about"}


def load_option_file(file: Path) -> dict[str, Any]:
    """Read an option's file, or say what is wrong with it and where."""
    expected = "a mapping in YAML: name, and a value for every knob"
    try:
        option = documents.read_yaml(file)
    except UnicodeDecodeError:
        raise SpecError(f"{file} is not text in UTF-8", expected) from None
    except ValueError as error:
        where = "," if str(error).startswith("line ") else ":"
        raise SpecError(f"{file}{where} {error}", expected) from None
    if not isinstance(option, dict):
        raise SpecError(f"{file} holds no mapping", expected)
    return option


def summarise_options(config_dir: str | None = None) -> dict[str, dict[str, str]]:
    """Group -> option -> what it is."""
    return {
        group: {
            name: read_summary(file) for name, file in find_option_files(group, config_dir).items()
        }
        for group in CHOICES
    }


def read_summary(file: Path) -> str:
    """The first line of an option's file, a comment; before it a recipe tells Hydra its place."""
    text = file.read_text(encoding="utf-8", errors="replace").removeprefix("# @package _global_\n")
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def load_shared_knobs(group: str) -> dict[str, Any]:
    """Return the knobs that all options of a group have, with their values in conf/config.yaml."""
    return dict(documents.read_yaml(CONF / "config.yaml").get(group, {}))


def read_default_options() -> dict[str, str]:
    """The option that each group has when nothing is said."""
    listed = documents.read_yaml(CONF / "config.yaml")["defaults"]
    chosen = {
        key: value for item in listed if isinstance(item, dict) for key, value in item.items()
    }
    return {group: chosen[group] for group in GROUPS}


def list_settings() -> list[str]:
    """The settings of a run outside the groups."""
    config = documents.read_yaml(CONF / "config.yaml")
    return [key for key in config if key not in ("defaults", "hydra", "sweep", *GROUPS)]


def qualify_option(option: str) -> str | None:
    """`model=vgg16` for `vgg16`, or None."""
    return next(
        (f"{group}={option}" for group in GROUPS if option in find_option_files(group)), None
    )
