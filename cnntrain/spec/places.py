"""Where the files of a spec lie: looked for before anything expensive, and found from anywhere.

A run keeps relative paths absolute in run.json, beside a spec.yaml that stays as it was asked for.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import format_value

# The settings that are paths and decide no number.
PATH_SETTINGS = ("data_dir", "manual_dir", "weights_dir", "model.weights_dir", "dataset.folder")
ORIGIN_SETTING = "init_from"  # as text a part of the spec; a run has its own copy of the weights


def resolve_relative_paths(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a configuration that are relative paths, as they are from here: key -> path.

    `~/photos` is none: it is the home of whoever reads it.
    """
    found = {key: get_dotted_value(config, key) for key in (*PATH_SETTINGS, ORIGIN_SETTING)}
    texts = {key: Path(text) for key, text in found.items() if isinstance(text, str) and text}
    relative = {
        key: str(path.absolute())
        for key, path in texts.items()
        if not path.is_absolute() and path.parts[:1] != ("~",)
    }
    if "dataset.folder" in relative and "data_dir" in texts:
        inside = texts["data_dir"].expanduser().absolute() / texts["dataset.folder"]
        if not is_there(Path(relative["dataset.folder"])) and is_there(inside):
            relative["dataset.folder"] = str(inside)
    return relative


def replace_paths(config: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with those of its relative paths absolute that decide no number."""
    result = {key: dict(v) if isinstance(v, Mapping) else v for key, v in config.items()}
    for key in PATH_SETTINGS:
        group, _, knob = key.rpartition(".")
        if isinstance(paths.get(key), str) and get_dotted_value(config, key) is not None:
            (result[group] if group else result)[knob] = paths[key]
    return result


def get_dotted_value(config: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key, or None."""
    group, _, knob = key.rpartition(".")
    node = config.get(group) if group else config
    return node.get(knob) if isinstance(node, Mapping) else None


def check_data_paths(config: Mapping[str, Any]) -> None:
    """Refuse folders of data that cannot be entered, and a folder of images that is not there."""
    for key in ("data_dir", "manual_dir"):
        if text := get_dotted_value(config, key):
            check_folder(text, key)
    folder = get_dotted_value(config, "dataset.folder")
    if isinstance(folder, str):
        find_images(folder, Path(config["data_dir"]).expanduser())


def check_folder(text: str, setting: str) -> None:
    """Refuse what is there and is no folder, or not ours to enter."""
    try:
        path = Path(text).expanduser()
        why = None if not path.exists() or path.is_dir() else "a file"
        if why is None and path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            why = "out of reach: Permission denied"
    except (OSError, RuntimeError, ValueError) as error:
        why = f"out of reach: {getattr(error, 'strerror', None) or error}"
    if why is not None:
        raise SpecError(
            f"{setting} is {format_value(text)}, which is {why}",
            "a folder that you may enter",
            f"{setting}=/another/folder",
        )


def find_images(folder: str, data_dir: Path) -> Path:
    """Return the folder or zip of images that `dataset.folder` names, from here or in `data_dir`.

    Raises SpecError where there is neither, or where it may not be read.
    """
    try:
        choices = [Path(folder).expanduser(), data_dir / folder] if folder else []
        for path in choices:
            if path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip"):
                os.scandir(path).close() if path.is_dir() else path.open("rb").close()
                return path
        what = "a file" if any(path.exists() for path in choices) else "not there"
    except (OSError, RuntimeError, ValueError) as error:
        what = f"out of reach: {getattr(error, 'strerror', None) or error}"
    raise SpecError(
        f"dataset.folder is {format_value(folder)}, which is {what}",
        "a folder with a folder of images for each class, or a zip of one",
        "dataset.folder=/absolute/path",
    )


def is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
