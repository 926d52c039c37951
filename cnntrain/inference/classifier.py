"""A run opened to be used: its network, its classes and its data; nothing of it is changed.

Only `Classifier.network` loads TensorFlow: what is wrong with a run is answered before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.errors import SpecError, format_choices
from cnntrain.files.documents import explain_damage
from cnntrain.inference.untrusted import read_network_config
from cnntrain.runs.directory import WEIGHTS, Run
from cnntrain.runs.strangers import find_run_folder, get_recorded_paths, read_config, read_record
from cnntrain.spec.build import build_spec
from cnntrain.spec.knobs import normalise_unicode
from cnntrain.spec.places import replace_paths
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame


@dataclass(frozen=True)
class Classifier:
    """A trained network: raw images (B, H, W, C) uint8 in, logits for `class_names` out.

    `weights` says which of the run's files it is, `config` is spec.yaml, with what the photos had
    to settle, `record` run.json.
    """

    folder: Path
    weights: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    config: Mapping[str, Any]
    spec: Spec
    record: Mapping[str, Any]

    @property
    def frame(self) -> "Frame":
        """What photos become before the network sees them: as training had them."""
        from cnntrain.data.photos.photo import Frame  # help is there before it is loaded

        height, width, channels = self.image_shape
        dataset = self.spec.dataset
        return Frame((height, width), channels, dataset["resize"], dataset["value_range"])  # type: ignore[arg-type]

    @property
    def file(self) -> Path:
        return self.folder / f"{self.weights}.keras"

    def load_network(self) -> Any:
        """Load it; SpecError for a file that Keras refuses."""
        with silence_stderr():
            import keras
        try:
            network = keras.models.load_model(self.file, compile=False, safe_mode=True)
        except Exception as error:  # whatever Keras makes of a file that may be anyone's
            raise explain_damage(self.file, error) from None
        if network.input_shape != (None, *self.image_shape) or not is_logits_shape(
            network.output_shape
        ):
            raise explain_damage(
                self.file, "it does not take images and give a number for each class"
            )
        units = network.output_shape[-1]
        if units != len(self.class_names) and (units, len(self.class_names)) != (1, 2):
            raise SpecError(
                f"{self.file} tells {units} classes apart and run.json names "
                f"{len(self.class_names)}",
                "a run as training left it",
            )
        return network


def is_logits_shape(shape: Any) -> bool:
    """Whether a network puts out a row of numbers (B, units)."""
    return isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[1], int)


def open_classifier(path: str, weights: str | None = None) -> Classifier:
    """Return the classifier of a run: of its best weights, or else its last, unless told.

    Raises SpecError for what is no run, is damaged, is newer than this program or has no weights.
    """
    folder = find_run_folder(path)
    run = Run(folder)
    record = read_record(run)
    chosen = choose_weights(folder, weights, record)
    network = read_network_config(folder / f"{chosen}.keras")
    shape = read_image_shape(network, folder / f"{chosen}.keras")
    config = resolve_auto_settings(
        replace_paths(read_config(run), get_recorded_paths(record)), record, shape
    )
    try:
        checked = build_spec(config)
    except SpecError as error:
        raise SpecError(f"{run.spec}: {error.given}", error.expected, error.hint) from None
    names = record.get("class_names")
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise explain_damage(run.record, "it names no classes")
    return Classifier(
        folder, chosen, tuple(map(normalise_unicode, names)), shape, config, checked, record
    )


def resolve_auto_settings(
    config: Mapping[str, Any], record: Mapping[str, Any], shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Return a run's configuration with what `auto` was for its own photos, for all others."""
    if not isinstance(config.get("dataset"), Mapping):
        return dict(config)  # which is no spec
    dataset, data = dict(config["dataset"]), record.get("data")
    height, width, channels = shape
    if dataset.get("image_size") == "auto":
        dataset |= {"image_size": [height, width], "channels": channels}
    if dataset.get("value_range") == "auto":
        dataset["value_range"] = data.get("value_range") if isinstance(data, Mapping) else None
    return {**config, "dataset": dataset}


def choose_weights(folder: Path, wanted: str | None, record: Mapping[str, Any]) -> str:
    """The name of the weights to use: `wanted`, or the best, or else the last."""
    there = [name for name in WEIGHTS if (folder / f"{name}.keras").is_file()]
    status = record.get("status", "unfinished")
    if not there:
        why = f"it failed: {record.get('error')}" if status == "failed" else f"it is {status}"
        hopeless = status == "running" or record.get("kind") == "Diverged"  # the same once more
        raise SpecError(
            f"{folder} has no weights yet: {why}",
            "a run that has finished an epoch",
            None if hopeless else f"cnntrain resume {folder}",
        )
    if wanted is not None and wanted not in there:
        raise SpecError(
            f"{folder} has no {wanted}.keras: it is {status}",
            format_choices(there),
            f"--weights {there[0]}",
        )
    return wanted or there[0]


def read_image_shape(config: Mapping[str, Any], file: Path) -> tuple[int, int, int]:
    """The shape of the images that a network takes, from its configuration."""
    try:
        first = config["config"]["layers"][0]["config"]
        height, width, channels = (int(size) for size in first["batch_shape"][1:])
        if first["dtype"] != "uint8":
            raise ValueError("it does not take raw uint8 images")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise explain_damage(file, error) from None
    return height, width, channels
