"""The two kinds of labels, one an image or several, and what each means for a fit.

Everything that trains and evaluates asks `get_label_kind`, and nothing else asks which kind it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from scipy.special import expit, log_softmax

from cnntrain.analysis.label_scores import LABEL_METRICS, compute_label_metrics
from cnntrain.errors import SpecError
from cnntrain.spec.spec import LossSettings
from cnntrain.training import losses
from cnntrain.training.labels import several_losses
from cnntrain.training.losses import LossFunction
from cnntrain.training.metrics import METRICS, compute_headline_metrics


@dataclass(frozen=True)
class LabelKind:
    """What follows from the kind of labels.

    `metrics` are the names of what evaluation measures, and `hit_metric` that of what training
    counts: the share of images that are right. Logits (N, units) become `scores` (N, classes)
    float64, of which metrics and probabilities (N, classes) are computed.
    """

    metrics: tuple[str, ...]
    hit_metric: str
    compute_cross_entropy: LossFunction  # of labels and logits: (B,) in nats, whatever the loss is
    compute_hits: LossFunction  # of labels and logits: (B,) 1 where an image is right, else 0
    build_loss: Callable[[LossSettings, np.ndarray, keras.Model], LossFunction]
    compute_chance: Callable[[np.ndarray], tuple[float, float]]  # loss and hits of guessing
    compute_scores: Callable[[np.ndarray], np.ndarray]
    compute_probabilities: Callable[[np.ndarray], np.ndarray]
    compute_metrics: Callable[[np.ndarray, np.ndarray], dict[str, float]]  # of scores and labels


def get_label_kind(labels: np.ndarray) -> LabelKind:
    """Return the kind of labels: (N,) are one an image, (N, classes) may be several."""
    return SEVERAL_LABELS if labels.ndim == 2 else ONE_LABEL


def compute_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return float64 logarithms (N, classes) for logits (N, classes), or (N, 1) for two classes."""
    return log_softmax(losses.expand_single_logit(logits, np).astype(np.float64), axis=-1)


def compute_log_odds(logits: np.ndarray) -> np.ndarray:
    """Return float64 log-odds (N, classes): the logits, of which sigmoids are the probabilities."""
    return logits.astype(np.float64)


def build_softmax_loss(
    settings: LossSettings, labels: np.ndarray, model: keras.Model
) -> LossFunction:
    """Return the loss of one label an image, with the network's own rejection if it is `auto`.

    `labels` (N,) are those of the training images.
    """
    rejection = settings.rejection
    if rejection == "auto":
        rejection = getattr(model, "rejection", None)
    units = model.outputs[0].shape[-1]
    weights = losses.compute_class_weights(settings.class_weights, labels, max(units, 2))
    return losses.build_loss(settings.label_smoothing, settings.focal_gamma, weights, rejection)


def build_sigmoid_loss(
    settings: LossSettings, labels: np.ndarray, model: keras.Model
) -> LossFunction:
    """Return the loss of several labels an image; `labels` (N, classes) are the training images'.

    Raises SpecError for a network whose outputs are not one logit for each class.
    """
    classes, units = labels.shape[1], model.outputs[0].shape[-1]
    if units != classes or getattr(model, "rejection", None) is not None:
        what = "a loss of its own" if units == classes else f"{units} outputs"
        raise SpecError(
            f"{model.name} has {what}, and images may have several of {classes} labels",
            "a network with a logit for each class",
            "model.one_logit=false" if units == 1 else "model=lenet5",
        )
    weights = several_losses.compute_positive_weights(settings.class_weights, labels)
    return several_losses.build_binary_loss(settings.label_smoothing, settings.focal_gamma, weights)


def compute_chance(labels: np.ndarray) -> tuple[float, float]:
    """Return the loss and the accuracy of guessing by how often classes are in labels (N,)."""
    return losses.compute_chance_loss(labels), float(np.bincount(labels).max() / len(labels))


ONE_LABEL = LabelKind(
    metrics=METRICS,
    hit_metric="accuracy",
    compute_cross_entropy=losses.compute_cross_entropy,
    compute_hits=losses.compute_accuracy,
    build_loss=build_softmax_loss,
    compute_chance=compute_chance,
    compute_scores=compute_log_probabilities,
    compute_probabilities=np.exp,
    compute_metrics=compute_headline_metrics,
)
SEVERAL_LABELS = LabelKind(
    metrics=LABEL_METRICS,
    hit_metric="exact_match",
    compute_cross_entropy=several_losses.compute_binary_cross_entropy,
    compute_hits=several_losses.compute_exact_match,
    build_loss=build_sigmoid_loss,
    compute_chance=several_losses.compute_chance,
    compute_scores=compute_log_odds,
    compute_probabilities=expit,
    compute_metrics=compute_label_metrics,
)
