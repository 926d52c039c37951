"""Run directories that may be anyone's: found, of a known version, and read as plain data.

What every other module takes for granted of these files (that a list is a list, a number a number)
is checked here, once, with the vocabulary of knobs. What is null, or not there, is left out.
"""

import csv
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain import __version__
from cnntrain.errors import SpecError, escape_unprintable
from cnntrain.files.documents import SMALL_BYTES, explain_damage, read_mapping
from cnntrain.files.paths import expand_user_path
from cnntrain.files.writing import check_entry, check_links_inside
from cnntrain.runs.directory import FORMAT, WEIGHTS, Run
from cnntrain.spec.knobs import Count, Natural, convert_value
from cnntrain.spec.renames import rename_keys, rename_settings
from cnntrain.spec.signatures import GROUPS
from cnntrain.terminal.units import format_size

NumberRow = dict[str, float]

# What each file must have where it has it at all, by dotted key.
RECORD_TYPES = {
    "format": int, "status": str, "started": str, "ended": str, "error": str, "kind": str,
    "host": str, "pid": Natural, "backend": str, "replicas": Count, "overrides": list[str],
    "resumed": list[str], "class_names": list[str], "versions": dict, "git": dict,
    "git.commit": str, "device": dict, "device.kind": str, "device.gpus": list, "data": dict,
    "data.fingerprint": str, "data.images": dict[str, str], "data.sizes": dict[str, int],
    "data.skipped": dict, "data.notes": list[str], "planned": dict, "planned.steps": Count,
    "planned.steps_per_epoch": Count, "init": dict, "init.from": str, "init.loaded": list[str],
    "init.new": list[str], "paths": dict[str, str],
    "choices": dict[str, str],
}  # fmt: skip
REPORT_TYPES = {
    "test": dict[str, dict], "valid": dict[str, dict], "seconds": dict[str, float],
    "phases": list[int], "best_epoch": int, "images_per_second": float, "evaluation": dict,
    "evaluation.images_per_second": float, "monitor": dict, "monitor.best": float,
    "parameters": dict, "parameters.total": int, "parameters.trainable": int,
}  # fmt: skip
NETWORK_TYPES = {
    "name": str, "parameters": int, "multiply_adds": int, "penalty": float, "layers": list[dict],
}  # fmt: skip
LAYER_TYPES = {
    "layer": str, "kind": str, "window": str, "output": list[Count], "parameters": Natural,
    "multiply_adds": Natural,
}  # fmt: skip
JOB_TYPES = {
    "overrides": list[str], "status": str, "reason": str, "retried": str, "started": str,
    "ended": str, "host": str, "pid": Natural,
}  # fmt: skip
# The columns that pages and tables need.
HISTORY_COLUMNS = ("epoch", "step", "train.loss")
STEPS_COLUMNS = ("step", "train.loss", "learning_rate")
MAX_TABLE_BYTES, MAX_HEADER_BYTES = 2**30, 2**16
PICTURE_AXES = {"sample_images": 4, "mistake_images": 4, "augmented_images": 5}  # their axes
READ_ERRORS = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, SyntaxError, MemoryError,
    KeyError, NotImplementedError, RuntimeError,
)  # fmt: skip


def find_run_folder(path: str) -> Path:
    """The directory of a run that a path names."""
    folder = expand_user_path(path)
    if (folder / "run.json").is_file() and (folder / "spec.yaml").is_file():
        check_links_inside(folder)
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
    record = check_types(run.record, read_mapping(run.record), RECORD_TYPES)
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
    config = read_mapping(run.spec, SMALL_BYTES)
    if odd := [group for group in GROUPS if not isinstance(config.get(group, {}), dict)]:
        raise explain_damage(run.spec, f"{odd[0]} is no option with its settings")
    return rename_settings(config)


def get_recorded_paths(record: Mapping[str, Any]) -> dict[str, str]:
    """The absolute paths that run.json has for relative ones; older runs have none."""
    return rename_keys(record.get("paths", {}))


def read_report(run: Run) -> dict[str, Any]:
    """What report.json says, empty before there is one: of every test and validation, numbers."""
    if not run.report.is_file():
        return {}
    report = check_types(run.report, read_mapping(run.report), REPORT_TYPES)
    for part in ("test", "valid"):
        if part in report:
            report[part] = {key: select_numbers(found) for key, found in report[part].items()}
    return report


def select_numbers(found: Mapping[str, Any]) -> NumberRow:
    """The numbers of a mapping; null is one that was not finite."""
    known = {key: float("nan") if value is None else value for key, value in found.items()}
    return {key: value for key, value in known.items() if type(value) in (int, float)}


def read_job(folder: Path) -> dict[str, Any]:
    """What job.json says of a job of a sweep, empty before it has begun."""
    file = folder / "job.json"
    if not file.is_file():
        return {}
    check_entry(file, folder.resolve())
    job = check_types(file, read_mapping(file), JOB_TYPES)
    words = {
        key: escape_unprintable(job[key], keep="\n") for key in ("status", "reason") if key in job
    }
    return job | words  # which are shown while it is at work, too


def read_network(folder: Path) -> dict[str, Any] | None:
    """What network.json says of the layers; None where a run has left none."""
    file = folder / "network.json"
    if not file.is_file():
        return None
    network = {"penalty": 0.0} | check_types(file, read_mapping(file), NETWORK_TYPES)
    check_required_keys(file, network, ("name", "parameters", "multiply_adds", "layers"))
    layers = [check_types(file, layer, LAYER_TYPES) for layer in network["layers"]]
    for layer in layers:
        check_required_keys(file, layer, ("layer", "kind", "output", "parameters"))
        if not layer["output"]:
            raise explain_damage(file, f"{layer['layer']} puts out nothing")
    more = {"window": None, "multiply_adds": None}
    return network | {"layers": [more | layer for layer in layers]}


def check_required_keys(file: Path, known: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuse a file that lacks one of the keys."""
    if missing := [key for key in keys if key not in known]:
        raise explain_damage(file, f"it has no {missing[0]}")


def check_types(file: Path, known: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping without its nulls, in which all that `shape` names is of its type; SpecError."""
    found = {key: value for key, value in known.items() if value is not None}
    for path, kind in shape.items():
        *above, key = path.split(".")
        node: Any = found
        for name in above:
            node = node.get(name, {})
        if above and node:
            node = {name: value for name, value in node.items() if value is not None}
            found[above[0]] = node
        if key not in node:
            continue
        try:
            convert_value(node[key], kind, path)
        except SpecError as error:
            shown = error.given if len(error.given) <= 80 else f"{error.given[:80]}…"
            raise explain_damage(file, f"{shown}, not {error.expected}") from None
    return found


def read_table(file: Path, columns: tuple[str, ...]) -> list[NumberRow]:
    """The rows of a CSV file of numbers, none without a file; one that is being written is left.

    Raises SpecError for a file that lacks a column or has anything else between its rows.
    """
    if not file.is_file():
        return []
    if file.stat().st_size > MAX_TABLE_BYTES:
        raise explain_damage(file, f"it is larger than {format_size(MAX_TABLE_BYTES)}")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:  # as Excel writes it
            rows = list(csv.DictReader(lines))
            whole = not rows or ends_with_line(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise explain_damage(file, error) from None
    if missing := [column for column in columns if rows and column not in rows[0]]:
        raise explain_damage(file, f"it has no column {missing[0]}")
    found = []
    for number, row in enumerate(rows):
        try:
            cells = {key: parse_number(value) for key, value in row.items()}
            if not all(isinstance(cells.get(key, 0), int) for key in ("epoch", "step")):
                raise ValueError
            found.append(cells)
        except (ValueError, TypeError, AttributeError):  # a cell less, or more
            if whole or number + 1 < len(rows):
                raise explain_damage(file, f"row {number + 1} is no row of numbers") from None
    return found


def read_history(run: Run) -> list[NumberRow]:
    """Return the rows of history.csv, one an epoch; SpecError if it is damaged."""
    return read_table(run.history, HISTORY_COLUMNS)


def read_history_so_far(run: Run) -> list[NumberRow]:
    """Return the rows of history.csv that are whole; none of one that is damaged."""
    try:
        return read_table(run.history, ("epoch",))
    except SpecError:
        return []


def read_steps(run: Run) -> list[NumberRow]:
    """Return the rows of steps.csv, one every `log_every` steps; SpecError if it is damaged."""
    return read_table(run.steps, STEPS_COLUMNS)


def check_columns(file: Path, columns: tuple[str, ...]) -> None:
    """Refuse a table that rows are to be added to and whose header is not that of a run.

    What follows may be damaged: training cuts it to the rows that its checkpoint knows of.
    """
    if file.is_file():
        with file.open("rb") as content:
            first = content.readline(MAX_HEADER_BYTES).decode("utf-8-sig", "replace")
        names = next(csv.reader([first]), [])
        if first and (missing := [column for column in columns if column not in names]):
            raise explain_damage(file, f"it has no column {missing[0]}")


def ends_with_line(file: Path) -> bool:
    """Whether the last line of a file is whole."""
    with file.open("rb") as content:
        content.seek(-1, 2)
        return content.read() == b"\n"


def parse_number(written: str) -> float:
    """A number as it was written: whole ones stay whole."""
    return int(written) if written.isdecimal() and len(written) < 18 else float(written)


def read_arrays(file: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """The arrays of an .npz file, none if it is not there; and why it is not used, if damaged."""
    if not file.is_file():
        return {}, None
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_TABLE_BYTES:
                raise ValueError(f"it is larger than {format_size(MAX_TABLE_BYTES)}")
        with np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}, None
    except READ_ERRORS as error:  # whatever a stranger may have put there
        return {}, " ".join(str(error).split()) or type(error).__name__


def explain_odd_predictions(arrays: Mapping[str, np.ndarray], num_classes: int) -> str | None:
    """What keeps the arrays of predictions.npz from being drawn, or None."""
    if not arrays:
        return None
    if missing := {"labels", "classes", "probabilities"} - arrays.keys():
        return f"it has no {min(missing)}"
    labels, classes, shares = (arrays[key] for key in ("labels", "classes", "probabilities"))
    if labels.ndim != 1 or classes.ndim != 2 or shares.shape != classes.shape or not classes.size:
        return "its shapes do not fit"
    if len(labels) != len(classes) or shares.dtype.kind != "f":
        return "its shapes do not fit"
    if not all(is_within(numbers, num_classes) for numbers in (labels, classes)):
        return f"it has other classes than the {num_classes} of run.json"
    return None


def explain_odd_pictures(
    arrays: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray], num_classes: int
) -> str | None:
    """What keeps the arrays of pictures.npz from being drawn, or None."""
    images = {key: arrays[key] for key in PICTURE_AXES if key in arrays and arrays[key].size}
    for key, array in images.items():
        if (
            array.ndim != PICTURE_AXES[key]
            or array.dtype != np.uint8
            or array.shape[-1] not in (1, 3)
        ):
            return f"its {key} are none"
    rows = [arrays[key] for key in ("sample", "mistakes") if key in arrays]
    count = len(predictions.get("labels", ()))
    if predictions and not all(a.ndim == 1 and is_within(a, count) for a in rows):
        return "its rows are not those of predictions.npz"
    labels = arrays.get("augmented_labels", np.empty(0, int))
    if labels.ndim != 1 or not is_within(labels, num_classes):
        return "its labels are other classes"
    texts, drawn = arrays.get("augmented_texts"), images.get("augmented_images")
    if drawn is not None and (texts is None or texts.shape != (len(drawn), drawn.shape[1] - 1)):
        return "its texts do not fit"
    kernels = arrays.get("filters", np.ones((1, 1, 1, 1), np.float32))
    if kernels.ndim != 4 or kernels.shape[-1] not in (1, 3) or not kernels.size:
        return "its filters are none"
    return None if kernels.dtype.kind == "f" else "its filters are none"


def is_within(numbers: np.ndarray, count: int) -> bool:
    """Whether all are whole numbers from 0, below `count`."""
    if not numbers.size:
        return True
    return numbers.dtype.kind in "iu" and numbers.min() >= 0 and bool(numbers.max() < count)


def find_trained_weights(path: str) -> tuple[Path, dict[str, Any]]:
    """The file of weights that a run's directory, or a path to a file, stands for; its run.json.

    Raises SpecError for what is neither.
    """
    given = expand_user_path(path)
    folder = given if given.is_dir() else given.parent
    run = Run(folder)
    record = read_record(run) if run.record.is_file() else {}
    if given.is_dir():
        check_links_inside(folder)
        given = next(
            (f for f in (folder / "best.keras", folder / "final.keras") if f.is_file()), given
        )
    if not given.is_file() or given.suffix not in (".keras", ".h5"):
        raise SpecError(
            f"init_from is {path}, which is "
            + ("no run with weights" if given.is_dir() else "no .keras or .h5 file"),
            "the directory of a run, or a .keras or .h5 file of weights",
        )
    return given, record
