"""A run opened to be used: its network, its classes and its data; nothing of it is changed.

Only `Classifier.network` loads TensorFlow: what is wrong with a run is answered before.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cnntrain import __version__
from cnntrain.errors import SpecError, one_of
from cnntrain.quiet import quiet
from cnntrain.runs import Run
from cnntrain.safety import network_config
from cnntrain.spec import Spec, spec

WEIGHTS = ("best", "final", "ema", "refit")  # each in its own .keras file


@dataclass(frozen=True)
class Classifier:
    """A trained network: raw images (B, H, W, C) uint8 in, logits for `class_names` out.

    `weights` says which of the run's files it is, `config` is spec.yaml, `record` run.json.
    """

    folder: Path
    weights: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    config: Mapping[str, Any]
    spec: Spec
    record: Mapping[str, Any]

    @property
    def file(self) -> Path:
        return self.folder / f"{self.weights}.keras"

    def network(self) -> Any:
        """Load it; SpecError for a file that Keras refuses."""
        with quiet():
            import keras
        try:
            network = keras.models.load_model(self.file, compile=False, safe_mode=True)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, ImportError) as error:
            raise damaged(self.file, error) from None
        units = network.output_shape[-1]
        if units != len(self.class_names) and (units, len(self.class_names)) != (1, 2):
            raise SpecError(
                f"{self.file} tells {units} classes apart and run.json names "
                f"{len(self.class_names)}",
                "a run as training left it",
            )
        return network


def opened(path: str, weights: str | None = None) -> Classifier:
    """Return the classifier of a run: of its best weights, or else its last, unless told.

    Raises SpecError for what is no run, is damaged, is newer than this program or has no weights.
    """
    folder = found(path)
    run = Run(folder)
    record = read_record(run)
    chosen = chosen_weights(folder, weights, record)
    network = network_config(folder / f"{chosen}.keras")
    config = read_config(run)
    try:
        checked = spec(config)
    except SpecError as error:
        raise SpecError(f"{run.spec}: {error.given}", error.expected, error.hint) from None
    names = record.get("class_names")
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise damaged(run.record, "it names no classes")
    shape = image_shape(network, folder / f"{chosen}.keras")
    return Classifier(folder, chosen, tuple(names), shape, config, checked, record)


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


def chosen_weights(folder: Path, wanted: str | None, record: Mapping[str, Any]) -> str:
    """The name of the weights to use: `wanted`, or the best, or else the last."""
    there = [name for name in WEIGHTS if (folder / f"{name}.keras").is_file()]
    status = record.get("status", "unfinished")
    if not there:
        raise SpecError(
            f"{folder} has no weights yet: it is {status}",
            "a run that has finished an epoch",
            None if status == "running" else f"cnntrain resume {folder}",
        )
    if wanted is not None and wanted not in there:
        raise SpecError(
            f"{folder} has no {wanted}.keras: it is {status}",
            one_of(there),
            f"--weights {there[0]}",
        )
    return wanted or there[0]


def image_shape(config: Mapping[str, Any], file: Path) -> tuple[int, int, int]:
    """The shape of the images that a network takes, from its configuration."""
    try:
        first = config["config"]["layers"][0]["config"]
        height, width, channels = (int(size) for size in first["batch_shape"][1:])
        if first["dtype"] != "uint8":
            raise ValueError("it does not take raw uint8 images")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise damaged(file, error) from None
    return height, width, channels


def damaged(file: Path, why: object) -> SpecError:
    text = " ".join(str(why).split()) or type(why).__name__
    return SpecError(
        f"{file} cannot be used: {text if len(text) <= 200 else text[:200] + '…'}",
        "a run as training left it",
    )
