"""The network of a run and what belongs to it, read from its files once for many predictions."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier
from cnntrain.runs.calibration import Calibration, find_calibration_file, read_calibration
from cnntrain.runs.directory import WEIGHTS, Run
from cnntrain.training.devices.backend import BACKENDS, resolve_backend


@dataclass(frozen=True)
class NetworkFiles:
    """A classifier, and what is read of its files when it is needed first."""

    classifier: Classifier

    @cached_property
    def thresholds(self) -> tuple[float, ...] | None:
        """The probability from which on each class is in an image; None if it has one label."""
        has_several = self.classifier.has_several_labels
        return tuple(self.classifier.read_thresholds()) if has_several else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration of the weights, if there is one."""
        return read_calibration(self.classifier.folder, self.classifier.weights)

    @cached_property
    def network(self) -> Any:
        """The Keras network: images (N, H, W, C) uint8 in, logits (N, classes) out."""
        check_loaded_backend()
        return self.classifier.load_network()

    @cached_property
    def scoring_network(self) -> Any:
        """The network of a calibrated run that also puts out distances: (N, classes + 1)."""
        network, calibration = self.network, self.calibration
        from cnntrain.inference.familiarity import build_scoring_network

        assert calibration is not None
        return build_scoring_network(network, calibration.bank)


def list_versions(folder: Path) -> list[tuple[str, int]]:
    """Return the names of the files that `NetworkFiles` reads, and when they were written."""
    files = [folder / f"{name}.keras" for name in WEIGHTS]
    files += [find_calibration_file(folder, name) for name in WEIGHTS]
    files.append(Run(folder).report)
    return [(file.name, file.stat().st_mtime_ns) for file in files if file.is_file()]


def check_loaded_backend() -> None:
    """Raise SpecError if the program has loaded Keras with a backend that runs cannot have."""
    if "keras" in sys.modules:
        import keras  # which may be loading in another thread

        name = keras.backend.backend()
    else:
        name = resolve_backend()
    if name not in BACKENDS:
        raise SpecError(
            f"Keras is loaded with KERAS_BACKEND={name}",
            BACKENDS,
            'os.environ["KERAS_BACKEND"] = "tensorflow" before Keras is imported',
        )
