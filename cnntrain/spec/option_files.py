"""What there is to choose from: the options of each group, with the first line of each file."""

import contextlib
import functools
import re
from dataclasses import dataclass
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

MADE_FOR = re.compile(
    r"# Made for (?P<height>[1-9]\d*)x(?P<width>[1-9]\d*)x(?P<channels>[1-9]\d*), "
    r"(?P<classes>[1-9]\d*) classes(: (?P<overrides>\S.*))?"
)
YEAR = re.compile(r"(?<![\w:.])(19[5-9]\d|20[0-3]\d)(?!\w)")


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


@dataclass(frozen=True)
class PaperNetwork:
    """What a paper's network takes and tells apart, and what makes an option that network."""

    image_shape: tuple[int, int, int]
    num_classes: int
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        shape, overrides = "x".join(map(str, self.image_shape)), " ".join(self.overrides)
        text = f"{shape}, {self.num_classes} classes"
        return f"{text}: {overrides}" if overrides else text


def read_paper_network(file: Path) -> PaperNetwork:
    """What the second line of a model's file says; SpecError where it does not."""
    lines = [*file.read_text(encoding="utf-8", errors="replace").splitlines(), "", ""]
    found = MADE_FOR.fullmatch(lines[1])
    overrides = tuple((found["overrides"] or "").split()) if found else ()
    if found is None or not all(word.startswith("model.") and "=" in word for word in overrides):
        raise SpecError(
            f"{file}, line 2, does not say which network of which paper this is",
            "the input, the classes and, behind a colon, overrides: "
            "# Made for 224x224x3, 1000 classes: model.hidden=4096",
        )
    height, width, channels = (int(found[axis]) for axis in ("height", "width", "channels"))
    return PaperNetwork((height, width, channels), int(found["classes"]), overrides)


def find_year(text: str) -> int | None:
    """The first year in the first line of an option's file; the number of a preprint is none."""
    found = YEAR.search(text)
    return int(found[0]) if found else None


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


REFERENCE = re.compile(r"\s*\([^()]*\b(19|20)\d\d\b[^()]*\)")  # the year has a column
