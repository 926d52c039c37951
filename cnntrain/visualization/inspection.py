"""One picture, with the network's feature maps and class probabilities for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnntrain.training.labels.kind import LabelKind
from cnntrain.visualization.layer_outputs import compute_layer_outputs, list_layer_outputs
from cnntrain.visualization.options import InspectionOptions
from cnntrain.visualization.subject import Subject

MAX_CLASSES = 5  # the likeliest classes that are listed


class Inspection:
    """What a network sees in a picture (H, W, C) uint8.

    `feature_maps` are (h, w, channels) float32 by the name of their layer, `probabilities` are
    (classes,), empty without classes, and `target` is the number of the class to look for. The
    sections of the page add to `facts`, the content of look.json, and to `left_out`, sentences on
    what they cannot show.
    """

    def __init__(self, subject: Subject, image: np.ndarray, options: InspectionOptions):
        self.subject, self.image, self.options = subject, image, options
        self.names, self.network = subject.class_names, subject.network
        self.layer_outputs = list_layer_outputs(self.network)
        tensors, logits = compute_layer_outputs(
            self.network, tf.constant(image[np.newaxis], tf.float32)
        )
        self.feature_maps = {
            output.name: np.asarray(tensors[output.name][0], np.float32)
            for output in self.layer_outputs
        }
        self.probabilities = (
            compute_probabilities(logits.numpy(), subject.kind) if self.names else np.empty(0)
        )
        self.target = options.target
        if self.names and self.target is None:
            self.target = int(self.probabilities.argmax())
        self.facts: dict[str, Any] = {"classes": rank_classes(self.probabilities, self.names)}
        self.left_out: list[str] = []


def compute_probabilities(logits: np.ndarray, kind: LabelKind) -> np.ndarray:
    """Return the probabilities (classes,) of the first image of logits (B, units)."""
    return kind.compute_probabilities(kind.compute_scores(logits)[0])


def rank_classes(probabilities: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the likeliest classes of probabilities (classes,), the likeliest first."""
    order = np.argsort(-probabilities, kind="stable")[:MAX_CLASSES]
    return [{"name": names[n], "probability": float(probabilities[n])} for n in order]
