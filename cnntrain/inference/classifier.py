"""A run opened for use: its network, its classes and its data. Only a calibration changes the run.

Only `Classifier.load_network` loads TensorFlow, so that a mistake is answered without waiting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.errors import SpecError, format_choices
from cnntrain.files.documents import explain_damage
from cnntrain.inference.untrusted import read_network_config
from cnntrain.runs.calibration import find_calibration_file
from cnntrain.runs.directory import WEIGHTS, Run
from cnntrain.runs.strangers import (
    find_run_folder,
    get_recorded_paths,
    read_config,
    read_record,
    read_report,
)
from cnntrain.spec.build import build_spec
from cnntrain.spec.knobs import normalise_unicode
from cnntrain.spec.metrics import HALF
from cnntrain.spec.places import replace_paths
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame


@dataclass(frozen=True)
class Classifier:
    """A trained network: raw images (B, H, W, C) uint8 in, logits for `class_names` out.

    `weights` is the name of its file in the run's folder, without `.keras`. `config` is the content
    of spec.yaml, in which `auto` has been replaced by what it was for the run's photos. `record` is
    the content of run.json.
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
        """The shape and pixel range that photos are decoded to, the same as in training."""
        from cnntrain.data.photos.photo import Frame  # slow to import, and --help must not wait

        height, width, channels = self.image_shape
        dataset = self.spec.dataset
        return Frame((height, width), channels, dataset["resize"], dataset["value_range"])  # type: ignore[arg-type]

    @property
    def has_several_labels(self) -> bool:
        """Whether an image may have several labels, so that probabilities are sigmoids."""
        return self.record.get("several_labels", False)

    @property
    def is_calibrated(self) -> bool:
        """Whether the run holds a calibration of these weights."""
        return find_calibration_file(self.folder, self.weights).is_file()

    def read_thresholds(self) -> list[float]:
        """Return the probability from which on each class is in an image, where it has several.

        Validation has chosen them for these weights. A refit, which has none, has those of the best
        weights, and without any they are a half.
        """
        tuned = read_report(Run(self.folder)).get("thresholds", {})
        known = [tuned.get(name, {}).get("classes") for name in (self.weights, "best", "final")]
        values = next((v for v in known if isinstance(v, list)), None)
        if values is None:
            return [HALF] * len(self.class_names)
        if len(values) != len(self.class_names) or not all(type(v) is float for v in values):
            raise explain_damage(Run(self.folder).report, "its thresholds are not those of classes")
        return values

    @property
    def file(self) -> Path:
        return self.folder / f"{self.weights}.keras"

    def load_network(self) -> Any:
        """Return the Keras network; raise SpecError if Keras cannot read its file."""
        with silence_stderr():
            import keras
        try:
            network = keras.models.load_model(self.file, compile=False, safe_mode=True)
        except Exception as error:  # Keras may raise anything for a file that anyone has written
            raise explain_damage(self.file, error) from None
        if network.input_shape != (None, *self.image_shape) or not is_logits_shape(
            network.output_shape
        ):
            raise explain_damage(
                self.file, "it does not take images and give a number for each class"
            )
        units = network.output_shape[-1]
        is_one_logit = (units, len(self.class_names)) == (1, 2) and not self.has_several_labels
        if units != len(self.class_names) and not is_one_logit:
            raise SpecError(
                f"{self.file} has {units} outputs and run.json names {len(self.class_names)} "
                "classes",
                "a run as training left it",
            )
        return network


def is_logits_shape(shape: Any) -> bool:
    """Return whether `shape`, the output shape of a network, is (B, units)."""
    return isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[1], int)


def open_classifier(path: str, weights: str | None = None) -> Classifier:
    """Return the classifier in the run folder `path`.

    It has the weights named `weights`; without a name the best weights, or the last ones if there
    are no best ones. Raises SpecError if `path` is not a run, is damaged, was written by a newer
    cnntrain or has no such weights.
    """
    folder = find_run_folder(path)
    run = Run(folder)
    record = read_record(run)
    chosen = choose_weights(folder, weights, record)
    file = folder / f"{chosen}.keras"
    shape = read_image_shape(read_network_config(file), file)
    config = resolve_auto_settings(
        replace_paths(read_config(run), get_recorded_paths(record)), record, shape
    )
    try:
        spec = build_spec(config)
    except SpecError as error:
        raise SpecError(f"{run.spec}: {error.given}", error.expected, error.hint) from None
    names = record.get("class_names")
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise explain_damage(run.record, "it names no classes")
    class_names = tuple(map(normalise_unicode, names))
    return Classifier(folder, chosen, class_names, shape, config, spec, record)


def resolve_auto_settings(
    config: Mapping[str, Any], record: Mapping[str, Any], shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Return a run's configuration in which `auto` is replaced by what it was for its own photos.

    The same network needs these values for whatever photos it is shown later. `record` is the
    content of run.json and `shape` the image shape (H, W, C) of the network.
    """
    if not isinstance(config.get("dataset"), Mapping):
        return dict(config)  # build_spec refuses it with a better message
    dataset, data = dict(config["dataset"]), record.get("data")
    height, width, channels = shape
    if dataset.get("image_size") == "auto":
        dataset |= {"image_size": [height, width], "channels": channels}
    if dataset.get("value_range") == "auto":
        dataset["value_range"] = data.get("value_range") if isinstance(data, Mapping) else None
    return {**config, "dataset": dataset}


def check_one_label(classifier: Classifier, what: str) -> None:
    """Raise SpecError for a run whose images may have several labels, which `what` knows not."""
    if classifier.has_several_labels:
        raise SpecError(
            f"images of {classifier.folder} may have several labels, and {what} needs one an image",
            "a run on images with one label each",
        )


def choose_weights(folder: Path, wanted: str | None, record: Mapping[str, Any]) -> str:
    """Return the name of the weights to use: `wanted`, or else the best, or else the last.

    Raises SpecError if the run folder has no such weights.
    """
    available = [name for name in WEIGHTS if (folder / f"{name}.keras").is_file()]
    status = record.get("status", "unfinished")
    if not available:
        why = f"it failed: {record.get('error')}" if status == "failed" else f"it is {status}"
        # A run that diverged would diverge again, and one that runs cannot be resumed yet.
        hopeless = status == "running" or record.get("kind") == "Diverged"
        raise SpecError(
            f"{folder} has no weights yet: {why}",
            "a run that has finished an epoch",
            None if hopeless else f"cnntrain resume {folder}",
        )
    if wanted is not None and wanted not in available:
        raise SpecError(
            f"{folder} has no {wanted}.keras: it is {status}",
            format_choices(available),
            f"--weights {available[0]}",
        )
    return wanted or available[0]


def read_image_shape(config: Mapping[str, Any], file: Path) -> tuple[int, int, int]:
    """Return the image shape (H, W, C) of a network, read from its Keras configuration.

    Raises SpecError, which names `file`, if the network does not take raw uint8 images.
    """
    try:
        first = config["config"]["layers"][0]["config"]
        height, width, channels = (int(size) for size in first["batch_shape"][1:])
        if first["dtype"] != "uint8":
            raise ValueError("it does not take raw uint8 images")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise explain_damage(file, error) from None
    return height, width, channels
