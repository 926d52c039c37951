"""Run directories that may be anyone's: found, of a known version, and read as plain data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cnntrain import __version__
from cnntrain.errors import SpecError
from cnntrain.runs import FORMAT, WEIGHTS, Run


def found(path: str) -> Path:
    """The directory of a run that a path names."""
    folder = Path(path).expanduser()
    if (folder / "run.json").is_file() and (folder / "spec.yaml").is_file():
        return folder
    if not folder.exists():
        what, hint = "is not there", None
    elif folder.is_file():
        beside = (folder.parent / "run.json").is_file() and folder.stem in WEIGHTS
        what = "is a file"
        hint = f"{folder.parent} --weights {folder.stem}" if beside else None
    else:
        what = "holds no run"
        inside = sorted(file.parent for file in folder.glob("*/run.json"))
        hint = str(inside[-1]) if inside else None
    expected = "a directory with run.json and spec.yaml, as cnntrain leaves it below outputs/"
    raise SpecError(f"{path} {what}", expected, hint)


def read_record(run: Run) -> dict[str, Any]:
    """What run.json says; SpecError if it is damaged or in a format of a newer version."""
    record = mapping(run.record)
    if (written := record.get("format", FORMAT)) != FORMAT:
        version = record.get("versions", {}).get("cnntrain", "a newer version")
        raise SpecError(
            f"{run.folder} was written by cnntrain {version}, in format {written}",
            f"a run in format {FORMAT}, that of cnntrain {__version__}",
            "pip install --upgrade cnntrain",
        )
    return record


def read_config(run: Run) -> dict[str, Any]:
    """What spec.yaml says: texts, numbers, lists and mappings, whatever else it may name."""
    return mapping(run.spec)


def paths_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The absolute paths that run.json has for relative ones; older runs have none."""
    known = record.get("paths")
    known = known if isinstance(known, dict) else {}
    return {key: path for key, path in known.items() if isinstance(path, str)}


def mapping(file: Path) -> dict[str, Any]:
    """A mapping in a JSON or YAML file, or SpecError."""
    try:
        text = file.read_text(encoding="utf-8")
        known = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise damaged(file, error) from None
    if not isinstance(known, dict):
        raise damaged(file, "it is no mapping")
    return known


def damaged(file: Path, why: object) -> SpecError:
    text = " ".join(str(why).split()) or type(why).__name__
    return SpecError(
        f"{file} cannot be used: {text if len(text) <= 200 else text[:200] + '…'}",
        "a run as training left it",
    )
