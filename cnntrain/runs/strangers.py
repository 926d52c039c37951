"""Read run directories that a stranger may have made, as plain data of a known version.

Other modules rely on the types in these files (that a list is a list, a number a number). They are
checked here, once, with the vocabulary of knobs. Keys that are null or missing are left out.
"""

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
from cnntrain.runs.tables import MAX_TABLE_BYTES, NumberRow
from cnntrain.spec.knobs import Count, Natural, convert_value
from cnntrain.spec.renames import ADDED, add_knobs, rename_keys, rename_settings
from cnntrain.spec.signatures import GROUPS
from cnntrain.terminal.units import format_size

# The type of each value that a file may have, by dotted key.
RECORD_TYPES = {
    "format": int, "status": str, "started": str, "ended": str, "error": str, "kind": str,
    "host": str, "pid": Natural, "backend": str, "replicas": Count, "overrides": list[str],
    "resumed": list[str], "changes": list[str], "class_names": list[str], "versions": dict,
    "git": dict, "git.commit": str, "device": dict, "device.kind": str, "device.gpus": list,
    "data": dict, "data.fingerprint": str, "data.images": dict[str, str],
    "data.sizes": dict[str, int], "data.skipped": dict, "data.replaced": dict,
    "data.changed": list[str], "data.notes": list[str], "planned": dict, "planned.steps": Count,
    "planned.steps_per_epoch": Count, "init": dict, "init.from": str, "init.loaded": list[str],
    "init.new": list[str], "paths": dict[str, str],
    "choices": dict[str, str], "several_labels": bool,
}  # fmt: skip
REPORT_TYPES = {
    "test": dict[str, dict], "valid": dict[str, dict], "views": str, "test_views": dict[str, dict],
    "seconds": dict[str, float],
    "phases": list[int], "best_epoch": int, "images_per_second": float, "evaluation": dict,
    "evaluation.images_per_second": float, "monitor": dict, "monitor.best": float,
    "parameters": dict, "parameters.total": int, "parameters.trainable": int,
    "thresholds": dict[str, dict],
}  # fmt: skip
NETWORK_TYPES = {
    "name": str, "parameters": int, "multiply_adds": int, "penalty": float, "layers": list[dict],
}  # fmt: skip
LAYER_TYPES = {
    "layer": str, "kind": str, "window": str, "what": str, "output": list[Count],
    "parameters": Natural, "multiply_adds": Natural,
}  # fmt: skip
JOB_TYPES = {
    "overrides": list[str], "status": str, "reason": str, "retried": str, "started": str,
    "ended": str, "host": str, "pid": Natural,
}  # fmt: skip
PICTURE_AXES = {"sample_images": 4, "mistake_images": 4, "augmented_images": 5}  # number of axes
READ_ERRORS = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, SyntaxError, MemoryError,
    KeyError, NotImplementedError, RuntimeError,
)  # fmt: skip


def find_run_folder(path: str) -> Path:
    """Return the run directory that a path names; raise SpecError if it is none."""
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
    """Return the content of run.json; raise SpecError if it is damaged or of a newer version."""
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
    """Return the content of spec.yaml as plain values, under the new names of settings.

    A setting that was added since has the value that earlier versions meant. Raises SpecError if
    the file is damaged.
    """
    config = read_mapping(run.spec, SMALL_BYTES)
    if odd := [group for group in GROUPS if not isinstance(config.get(group, {}), dict)]:
        raise explain_damage(run.spec, f"{odd[0]} is no option with its settings")
    return ADDED | add_knobs(rename_settings(config))


def get_recorded_paths(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the absolute paths that run.json holds for relative ones; empty for older runs."""
    return rename_keys(record.get("paths", {}))


def read_report(run: Run) -> dict[str, Any]:
    """Return the content of report.json, with only numbers for each split; may be empty."""
    if not run.report.is_file():
        return {}
    report = check_types(run.report, read_mapping(run.report), REPORT_TYPES)
    for part in ("test", "valid", "test_views"):
        if part in report:
            report[part] = {key: select_numbers(values) for key, values in report[part].items()}
    return report


def select_numbers(values: Mapping[str, Any]) -> NumberRow:
    """Return the numbers of a mapping; null, for a number that was not finite, becomes nan."""
    numbers = {key: float("nan") if value is None else value for key, value in values.items()}
    return {key: value for key, value in numbers.items() if type(value) in (int, float)}


def read_job(folder: Path) -> dict[str, Any]:
    """Return the content of a sweep job's job.json; empty before the job has begun."""
    file = folder / "job.json"
    if not file.is_file():
        return {}
    check_entry(file, folder.resolve())
    job = check_types(file, read_mapping(file), JOB_TYPES)
    words = {
        key: escape_unprintable(job[key], keep="\n") for key in ("status", "reason") if key in job
    }
    return job | words  # a terminal may show them


def read_network(folder: Path) -> dict[str, Any] | None:
    """Return the content of network.json, with all keys of each layer; None if it is missing."""
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
    return network | {"layers": [complete_layer(layer) for layer in layers]}


def complete_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer of network.json with the keys that earlier versions did not write."""
    what = f"{layer['kind']} {layer.get('window') or ''}".rstrip()
    return {"window": None, "multiply_adds": None, "what": what, **layer}


def check_required_keys(file: Path, content: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raise SpecError if the content of `file` lacks one of the keys."""
    if missing := [key for key in keys if key not in content]:
        raise explain_damage(file, f"it has no {missing[0]}")


def check_types(file: Path, content: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `file` without nulls.

    Raises SpecError if a value is not of its type in `types`, which has dotted keys.
    """
    checked = {key: value for key, value in content.items() if value is not None}
    for path, annotation in types.items():
        *above, key = path.split(".")
        node: Any = checked
        for name in above:
            node = node.get(name, {})
        if above and node:
            node = {name: value for name, value in node.items() if value is not None}
            checked[above[0]] = node
        if key not in node:
            continue
        try:
            convert_value(node[key], annotation, path)
        except SpecError as error:
            shown = error.given if len(error.given) <= 80 else f"{error.given[:80]}…"
            raise explain_damage(file, f"{shown}, not {error.expected}") from None
    return checked


def read_arrays(file: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """Return the arrays of an .npz file, and why it cannot be used, or None.

    There are no arrays if the file is missing or cannot be used.
    """
    if not file.is_file():
        return {}, None
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_TABLE_BYTES:
                raise ValueError(f"it is larger than {format_size(MAX_TABLE_BYTES)}")
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}, None
    except READ_ERRORS as error:  # a stranger's file may raise any of them
        return {}, " ".join(str(error).split()) or type(error).__name__


def read_predictions(folder: Path, num_classes: int) -> tuple[dict[str, np.ndarray], str | None]:
    """Return the arrays of a run's predictions.npz, and why they cannot be used, or None.

    There are no arrays if the file is missing or cannot be used.
    """
    arrays, reason = read_arrays(folder / "predictions.npz")
    reason = reason or explain_odd_predictions(arrays, num_classes)
    return {} if reason else arrays, reason


def explain_odd_predictions(arrays: Mapping[str, np.ndarray], num_classes: int) -> str | None:
    """Return why the arrays of predictions.npz cannot be drawn, or None if they can."""
    if not arrays:
        return None
    if "thresholds" in arrays:
        return explain_odd_label_predictions(arrays, num_classes)
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


def explain_odd_label_predictions(arrays: Mapping[str, np.ndarray], num_classes: int) -> str | None:
    """Return why the arrays of a run with several labels an image cannot be drawn, or None."""
    labels, shares = arrays.get("labels"), arrays.get("probabilities")
    if labels is None or shares is None:
        return "it has no labels or no probabilities"
    if labels.shape != shares.shape or labels.ndim != 2 or not labels.size:
        return "its shapes do not fit"
    if labels.shape[1] != num_classes or arrays["thresholds"].shape != (num_classes,):
        return f"it has other classes than the {num_classes} of run.json"
    if shares.dtype.kind != "f" or arrays["thresholds"].dtype.kind != "f":
        return "its numbers are none"
    return None if is_within(labels, 2) else "its labels are not 0 and 1"


def explain_odd_pictures(
    arrays: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray], num_classes: int
) -> str | None:
    """Return why the arrays of pictures.npz cannot be drawn, or None if they can."""
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
    is_several = labels.ndim == 2 and labels.shape[1] == num_classes
    if not is_within(labels, 2 if is_several else num_classes) or not (
        labels.ndim == 1 or is_several
    ):
        return "its labels are other classes"
    texts, drawn = arrays.get("augmented_texts"), images.get("augmented_images")
    if drawn is not None and (texts is None or texts.shape != (len(drawn), drawn.shape[1] - 1)):
        return "its texts do not fit"
    kernels = arrays.get("filters", np.ones((1, 1, 1, 1), np.float32))
    if kernels.ndim != 4 or kernels.shape[-1] not in (1, 3) or not kernels.size:
        return "its filters are none"
    return None if kernels.dtype.kind == "f" else "its filters are none"


def is_within(numbers: np.ndarray, count: int) -> bool:
    """Whether an array holds only whole numbers from 0 to `count` - 1."""
    if not numbers.size:
        return True
    return numbers.dtype.kind in "iu" and numbers.min() >= 0 and bool(numbers.max() < count)


def find_trained_weights(path: str) -> tuple[Path, dict[str, Any]]:
    """Return the file of weights that `init_from` names, and the content of run.json beside it.

    The path is that of a file, or of a run's directory. Raises SpecError if it is neither.
    """
    file = expand_user_path(path)
    folder = file if file.is_dir() else file.parent
    run = Run(folder)
    record = read_record(run) if run.record.is_file() else {}
    if file.is_dir():
        check_links_inside(folder)
        file = next(
            (f for f in (folder / "best.keras", folder / "final.keras") if f.is_file()), file
        )
    if not file.is_file() or file.suffix not in (".keras", ".h5"):
        raise SpecError(
            f"init_from is {path}, which is "
            + ("no run with weights" if file.is_dir() else "no .keras or .h5 file"),
            "the directory of a run, or a .keras or .h5 file of weights",
        )
    return file, record
