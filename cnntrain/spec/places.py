"""The paths of a spec: checked before anything expensive, and resolved for a later resume.

run.json holds the absolute form of relative paths; spec.yaml keeps them as they were typed.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.spec.knobs import format_value
from cnntrain.spec.signatures import build_component, find_companion

# The settings that are paths and decide no number.
PATH_SETTINGS = (
    "data_dir", "manual_dir", "weights_dir", "model.weights_dir", "dataset.folder", "dataset.table",
)  # fmt: skip
SOUGHT_IN_DATA_DIR = ("dataset.folder", "dataset.table")  # where they are not here
RECORDS_MANIFEST = "records.json"  # a folder of records that has it is whole
ORIGIN_SETTING = "init_from"  # its text is part of the spec; a run has its own copy of the weights


def resolve_relative_paths(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the absolute form of each relative path of a configuration: dotted key -> path.

    `~/photos` is left out: it is in the home of whoever resumes the run.
    """
    values = {key: get_dotted_value(config, key) for key in (*PATH_SETTINGS, ORIGIN_SETTING)}
    paths = {key: Path(text) for key, text in values.items() if isinstance(text, str) and text}
    relative = {
        key: str(path.absolute())
        for key, path in paths.items()
        if not path.is_absolute() and path.parts[:1] != ("~",)
    }
    for key in SOUGHT_IN_DATA_DIR:
        if key in relative and "data_dir" in paths:
            inside = paths["data_dir"].expanduser().absolute() / paths[key]
            if not is_there(Path(relative[key])) and is_there(inside):
                relative[key] = str(inside)
    return relative


def replace_paths(config: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with `paths` in place of its paths that decide no number."""
    result = {key: dict(v) if isinstance(v, Mapping) else v for key, v in config.items()}
    for key in PATH_SETTINGS:
        group, _, knob = key.rpartition(".")
        if isinstance(paths.get(key), str) and get_dotted_value(config, key) is not None:
            (result[group] if group else result)[knob] = paths[key]
    return result


def get_dotted_value(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key, or None."""
    group, _, knob = key.rpartition(".")
    node = config.get(group) if group else config
    return node.get(knob) if isinstance(node, Mapping) else None


def check_data_paths(config: Mapping[str, Any]) -> None:
    """Raise SpecError for a data folder that cannot be entered, or missing images."""
    for key in ("data_dir", "manual_dir"):
        if text := get_dotted_value(config, key):
            check_folder(text, key)
    finders = {"records": find_records, "table": find_table_folder}
    find_folder = finders.get(str(get_dotted_value(config, "dataset.name")), find_images)
    for key, find in (("dataset.table", find_table), ("dataset.folder", find_folder)):
        if isinstance(path := get_dotted_value(config, key), str):
            find(path, Path(config["data_dir"]).expanduser())


def peek_several_labels(config: Mapping[str, Any]) -> bool | None:
    """Return whether images of the data set may have several labels, where it can soon be said.

    A data set's module may define `has_several_labels(data_dir, manual_dir, *, knobs)`, which looks
    at labels and at no image. Returns None where it does not, or where that fails: whoever loads
    the data explains why.
    """
    try:
        dataset = build_component("dataset", config["dataset"])
        folders = [
            expand_folder(config[key], key) if config[key] else None
            for key in ("data_dir", "manual_dir")
        ]
        peek = find_companion(dataset, "has_several_labels")
        return None if peek is None else bool(peek(*folders))
    except (SpecError, OSError, KeyError, TypeError):
        return None


def check_folder(text: str, setting: str) -> None:
    """Raise SpecError if a path is a file, or a folder that may not be entered."""
    try:
        path = Path(text).expanduser()
        problem = None if not path.exists() or path.is_dir() else "a file"
        if problem is None and path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            problem = "out of reach: Permission denied"
    except (OSError, RuntimeError, ValueError) as error:
        problem = f"out of reach: {getattr(error, 'strerror', None) or error}"
    if problem is not None:
        raise SpecError(
            f"{setting} is {format_value(text)}, which is {problem}",
            "a folder that you may enter",
            f"{setting}=/another/folder",
        )


def find_images(folder: str, data_dir: Path) -> Path:
    """Return the folder or zip of images `dataset.folder` (see `find_path`)."""
    return find_path(
        "dataset.folder", folder, data_dir,
        lambda path: path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip"),
        "is a file", "a folder with a folder of images for each class, or a zip of one",
    )  # fmt: skip


def find_records(folder: str, data_dir: Path) -> Path:
    """Return the folder of finished records `dataset.folder` (see `find_path`)."""
    return find_path(
        "dataset.folder", folder, data_dir, lambda path: (path / RECORDS_MANIFEST).exists(),
        "holds no finished records",
        "a folder that cnntrain data prepare NAME --to array_record has written",
    )  # fmt: skip


def find_table(table: str, data_dir: Path) -> Path:
    """Return the file `dataset.table` (see `find_path`)."""
    return find_path(
        "dataset.table", table, data_dir, Path.is_file,
        "is a folder", "a CSV or a Parquet file with a row for each photo",
    )  # fmt: skip


def find_table_folder(folder: str, data_dir: Path) -> Path:
    """Return the folder that the paths in a table are relative to (see `find_path`)."""
    return find_path(
        "dataset.folder", folder, data_dir, Path.is_dir,
        "is a file", "the folder that the paths in the table are relative to",
        "dataset.folder=null, if they are relative to the table",
    )  # fmt: skip


def find_path(
    setting: str,
    text: str,
    data_dir: Path,
    is_right: Callable[[Path], bool],
    wrong: str,
    expected: str,
    hint: str | None = None,
) -> Path:
    """Return the path of a setting, here or else in `data_dir`, where it `is_right`.

    Raises SpecError if neither is, of which one that is there is `wrong`, or if it may not be read.
    """
    try:
        paths = [Path(text).expanduser(), data_dir / text] if text else []
        for path in filter(is_right, paths):
            os.scandir(path).close() if path.is_dir() else path.open("rb").close()
            return path
        problem = wrong if any(path.exists() for path in paths) else "is not there"
    except (OSError, RuntimeError, ValueError) as error:
        problem = f"is out of reach: {getattr(error, 'strerror', None) or error}"
    hint = hint or f"{setting}=/absolute/path"
    raise SpecError(f"{setting} is {format_value(text)}, which {problem}", expected, hint)


def is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
