"""A network and a picture, and all that the one makes of the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnntrain.inference.classifier import Classifier
from cnntrain.spec.spec import Spec
from cnntrain.training.evaluation import compute_log_probabilities
from cnntrain.visualization.layer_outputs import compute_layer_outputs, list_layer_outputs
from cnntrain.visualization.options import InspectionOptions

MAX_CLASSES = 5  # classes


class Inspection:
    """What a network sees in a picture (H, W, C) uint8.

    `maps` are those (h, w, channels) of every place, by its name; `probabilities` are (classes,);
    `target` is the class that is looked for. `facts` and `left_out` are gathered as one looks.
    """

    def __init__(
        self, classifier: Classifier, asked: Spec, image: np.ndarray, wishes: InspectionOptions
    ):
        self.classifier, self.asked, self.image, self.options = classifier, asked, image, wishes
        self.names = classifier.class_names
        self.network = classifier.load_network()
        self.layer_outputs = list_layer_outputs(self.network)
        seen, logits = compute_layer_outputs(
            self.network, tf.constant(image[np.newaxis], tf.float32)
        )
        self.feature_maps = {
            p.name: np.asarray(seen[p.name][0], np.float32) for p in self.layer_outputs
        }
        self.probabilities = compute_probabilities(logits.numpy())
        best = int(self.probabilities.argmax())
        self.target = best if wishes.target is None else wishes.target
        self.facts: dict[str, Any] = {"classes": rank_classes(self.probabilities, self.names)}
        self.left_out: list[str] = []


def compute_probabilities(logits: np.ndarray) -> np.ndarray:
    """The probabilities (classes,) of one image."""
    return np.exp(compute_log_probabilities(logits)[0])


def rank_classes(shares: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The likeliest classes, each with its probability."""
    order = np.argsort(-shares, kind="stable")[:MAX_CLASSES]
    return [{"name": names[n], "probability": float(shares[n])} for n in order]
