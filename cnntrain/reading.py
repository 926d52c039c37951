"""Run directories that may be anyone's: found, of a known version, and read as plain data."""

import re
from pathlib import Path
from typing import Any

import yaml

from cnntrain import __version__
from cnntrain.errors import SpecError
from cnntrain.runs import WEIGHTS, Run


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
    """What run.json says; SpecError if it is damaged or of a newer version."""
    try:
        record = run.read()
        version = record.get("versions", {}).get("cnntrain", "0")
        numbers = release(version)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise damaged(run.record, error) from None
    if numbers > release(__version__):
        raise SpecError(
            f"{run.folder} was made by cnntrain {version}, and this is {__version__}",
            f"a run of this version or an older one, or cnntrain {version}",
            f"pip install 'cnntrain>={version}'",
        )
    return record


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: 0.2.1 and 0.2.1rc1 are (0, 2, 1)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def read_config(run: Run) -> dict[str, Any]:
    """What spec.yaml says: texts, numbers, lists and mappings, whatever else it may name."""
    try:
        config = yaml.safe_load(run.spec.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise damaged(run.spec, error) from None
    if not isinstance(config, dict):
        raise damaged(run.spec, "it is no mapping")
    return config


def damaged(file: Path, why: object) -> SpecError:
    text = " ".join(str(why).split()) or type(why).__name__
    return SpecError(
        f"{file} cannot be used: {text if len(text) <= 200 else text[:200] + '…'}",
        "a run as training left it",
    )
