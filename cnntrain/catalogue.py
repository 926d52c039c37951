"""What there is to choose from: the options of each group, with the first line of each file."""

from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.table import Table

from cnntrain.components import GROUPS, PACKAGE
from cnntrain.errors import SpecError

# The wheel carries conf/ inside the package; in a checkout it stands at the top.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"


def options(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """The options of a group: name -> YAML file; a file in `config_dir` adds one."""
    own = user_folder(config_dir)
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


def user_folder(config_dir: str | None) -> Path | None:
    """The user's own folder of options, or None; SpecError if it is not there."""
    if config_dir is None:
        return None
    if not config_dir or not Path(config_dir).is_dir():
        raise SpecError(
            f"--config-dir is {config_dir or 'empty'}, which is no folder",
            "a folder with folders such as model/ and dataset/",
        )
    return Path(config_dir)


def load(file: Path) -> dict[str, Any]:
    """Read an option's file, or say what is wrong with it and where."""
    expected = "a mapping in YAML: name, and a value for every knob"
    try:
        option = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise SpecError(f"{file}, line {line}: {error.problem}", expected) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SpecError(f"{file} is not text in UTF-8", expected) from None
    if not isinstance(option, dict):
        raise SpecError(f"{file} holds no mapping", expected)
    return option


def catalogue(config_dir: str | None = None) -> dict[str, dict[str, str]]:
    """Group -> option -> what it is."""
    return {
        group: {name: summary(file) for name, file in options(group, config_dir).items()}
        for group in GROUPS
    }


def summary(file: Path) -> str:
    """The first line of an option's file, a comment."""
    first = file.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def defaults() -> dict[str, str]:
    """The option that each group has when nothing is said."""
    listed = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    chosen = {
        key: value for item in listed if isinstance(item, dict) for key, value in item.items()
    }
    return {group: chosen[group] for group in GROUPS}


def settings() -> list[str]:
    """The settings of a run outside the groups."""
    config = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    return [key for key in config if key not in ("defaults", "hydra", *GROUPS)]


def group_of(option: str) -> str | None:
    """`model=vgg16` for `vgg16`, or None."""
    return next((f"{group}={option}" for group in GROUPS if option in options(group)), None)


def table(group: str, listed: dict[str, str]) -> Table:
    """The options of a group as a table; the default is marked."""
    default = defaults().get(group)
    shown = Table(title=group, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    shown.add_column("option", no_wrap=True)
    shown.add_column("what it is")
    for option, text in listed.items():
        shown.add_row(f"{option} (default)" if option == default else option, text)
    return shown
