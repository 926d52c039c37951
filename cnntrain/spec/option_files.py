"""The options of each group: their files, the knobs they state, and their first lines."""

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

# The groups from which an option is chosen by name; an experiment chooses one of every group.
CHOICES = (*GROUPS, "experiment")


def find_option_files(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """Return the options of a group, name -> YAML file; a file in `config_dir` adds one.

    Raises SpecError for a file with the name of an option of ours.
    """
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
    """Return the user's own folder of options, or None; raise SpecError if it is not there."""
    if config_dir is None:
        return None
    expected = "a folder with folders such as model/ and dataset/"
    if config_dir and (folder := expand_user_path(config_dir).absolute()).is_dir():
        check_option_files(folder)
        return folder
    raise SpecError(f"--config-dir is {config_dir or 'empty'}, which is no folder", expected)


@functools.cache
def check_option_files(folder: Path) -> None:
    """Raise SpecError if aliases in an option's file stand for more values than memory holds.

    Hydra would write them out. All files are read, because options may name others in `defaults`.
    """
    files = [file for depth in ("*", "*/*", "*/*/*") for file in folder.glob(f"{depth}.yaml")]
    for file in files:
        with contextlib.suppress(OSError, ValueError):  # reported once the option is chosen
            text = documents.read_text(file, documents.LARGE_BYTES) if file.is_file() else ""
            if "*" in text:
                try:
                    documents.parse_yaml(text)
                except documents.DocumentTooLarge as error:
                    raise SpecError(f"{file}: {error}", "an option, of some settings") from None


def load_option(file: Path) -> dict[str, Any]:
    """Return the name of an option's component and the knobs that its file states."""
    facts = ("about", "expect")  # records that no spec holds
    return {key: value for key, value in load_option_file(file).items() if key not in facts}


def load_option_file(file: Path) -> dict[str, Any]:
    """Return the mapping in an option's file; raise SpecError, with the line, if there is none."""
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
    """Return group -> option -> the first line of its file, which says what it is."""
    return {
        group: {
            name: read_summary(file) for name, file in find_option_files(group, config_dir).items()
        }
        for group in CHOICES
    }


def read_summary(file: Path) -> str:
    """Return the comment in the first line of an option's file, or in the second of a recipe.

    The first line of a recipe is one for Hydra, `# @package _global_`.
    """
    text = file.read_text(encoding="utf-8", errors="replace").removeprefix("# @package _global_\n")
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def load_shared_knobs(group: str) -> dict[str, Any]:
    """Return the default values of the knobs that all options of a group have."""
    return dict(documents.read_yaml(CONF / "config.yaml").get(group, {}))


def read_default_options() -> dict[str, str]:
    """Return the default option of each group."""
    listed = documents.read_yaml(CONF / "config.yaml")["defaults"]
    chosen = {
        key: value for item in listed if isinstance(item, dict) for key, value in item.items()
    }
    return {group: chosen[group] for group in GROUPS}


def list_settings() -> list[str]:
    """Return the names of the settings of a run that belong to no group."""
    config = documents.read_yaml(CONF / "config.yaml")
    return [key for key in config if key not in ("defaults", "hydra", "sweep", *GROUPS)]


def qualify_option(option: str) -> str | None:
    """Return `model=vgg16` for `vgg16`, or None if no group has such an option."""
    return next(
        (f"{group}={option}" for group in GROUPS if option in find_option_files(group)), None
    )
