"""One picture, with the network's feature maps and class probabilities for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnntrain.inference.familiarity import build_scoring_network
from cnntrain.inference.predict_photos import Prediction, list_decisions
from cnntrain.inference.predict_report import list_decision_facts
from cnntrain.visualization.layer_outputs import compute_layer_outputs, list_layer_outputs
from cnntrain.visualization.options import InspectionOptions
from cnntrain.visualization.subject import Subject

MAX_CLASSES = 5  # the likeliest classes that are listed


class Inspection:
    """What a network sees in a picture (H, W, C) uint8.

    `feature_maps` are (h, w, channels) float32 by the name of their layer, `probabilities` are
    (classes,), calibrated if the network is, and empty without classes, and `target` is the number
    of the class to look for. The sections of the page add to `facts`, the content of look.json, and
    to `left_out`, sentences on what they cannot show.
    """

    def __init__(self, subject: Subject, image: np.ndarray, options: InspectionOptions):
        self.subject, self.image, self.options = subject, image, options
        self.names, self.network = subject.class_names, subject.network
        calibration = subject.calibration
        self.scoring = (
            build_scoring_network(self.network, calibration.bank) if calibration else self.network
        )
        self.layer_outputs = list_layer_outputs(self.network)
        tensors, _ = compute_layer_outputs(self.network, tf.constant(image[np.newaxis], tf.float32))
        self.feature_maps = {
            output.name: np.asarray(tensors[output.name][0], np.float32)
            for output in self.layer_outputs
        }
        prediction = self.predict(image) if self.names else Prediction("", np.empty(0), None)
        assert prediction.probabilities is not None
        self.probabilities, self.target = prediction.probabilities, options.target
        if self.names and self.target is None:
            self.target = int(self.probabilities.argmax())
        self.facts: dict[str, Any] = {"classes": rank_classes(self.probabilities, self.names)}
        if calibration is not None:
            self.facts |= list_decision_facts(prediction, self.names, calibration)
            self.facts["calibrated_on"] = calibration.images
        self.left_out: list[str] = []

    def predict(self, image: np.ndarray) -> Prediction:
        """Return what `cnntrain predict` says of an image (H, W, C) uint8."""
        outputs = self.scoring.predict_on_batch(image[np.newaxis])
        kind, calibration = self.subject.kind, self.subject.calibration
        probabilities, *rest = list_decisions(outputs, kind, calibration)[0]
        return Prediction("", probabilities, None, *rest)


def rank_classes(probabilities: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the likeliest classes of probabilities (classes,), the likeliest first."""
    order = np.argsort(-probabilities, kind="stable")[:MAX_CLASSES]
    return [{"name": names[n], "probability": float(probabilities[n])} for n in order]
