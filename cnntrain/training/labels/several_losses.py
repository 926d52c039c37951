"""The loss and the metrics of training where an image may have several labels.

Each class has a logit of its own, whose sigmoid is the probability that the class is in the image.
Logits are (B, classes). Labels are (B, classes), 0 and 1 or, as augmentations that mix images make
them, in between.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from cnntrain.training.losses import LossFunction, compute_class_weights


def build_binary_loss(
    label_smoothing: float, focal_gamma: float, positive_weights: Sequence[float]
) -> LossFunction:
    """Return the loss function: from labels and logits to a value for each example (B,), in nats.

    It is the binary cross-entropy, averaged over the classes as in Keras' BinaryCrossentropy, and
    changed by the settings that are not 0 or empty:

    `label_smoothing` draws each target so far towards a half; `focal_gamma` multiplies each term by
    (1 - p)^gamma, p being the probability of what is so (Lin et al. 2017, arXiv:1708.02002,
    equation 4); `positive_weights` (classes) multiply the terms of classes that are in the image.
    """

    def loss(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        targets = ops.cast(labels, "float32")  # (B, classes)
        logits = ops.cast(logits, "float32")
        if label_smoothing:
            targets = targets * (1 - label_smoothing) + label_smoothing / 2
        present, absent = ops.softplus(-logits), ops.softplus(logits)  # -log p, -log (1 - p)
        if focal_gamma:  # at 0 the gradient of the power would not be finite
            present = present * ops.maximum(ops.sigmoid(-logits), 1e-7) ** focal_gamma
            absent = absent * ops.maximum(ops.sigmoid(logits), 1e-7) ** focal_gamma
        if positive_weights:
            present = present * ops.array(positive_weights, "float32")
        return ops.mean(targets * present + (1 - targets) * absent, axis=-1)

    return loss


def compute_binary_cross_entropy(
    labels: keras.KerasTensor, logits: keras.KerasTensor
) -> keras.KerasTensor:
    """Return the binary cross-entropy (B,), in nats, averaged over the classes."""
    return build_binary_loss(0, 0, ())(labels, logits)


def compute_exact_match(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return (B,) 1 where all classes of an image are right at a probability of 0.5, else 0.

    A soft label is taken for 1 from a half on.
    """
    right = (logits >= 0) == (ops.cast(labels, "float32") >= 0.5)
    return ops.cast(ops.all(right, axis=-1), "float32")


def compute_positive_weights(setting: str | Sequence[float], labels: np.ndarray) -> list[float]:
    """Return what the images of each class weigh in its loss, or an empty list for `none`.

    `balanced` gives absent / present, so that the images (N, classes) with a class and those
    without it weigh alike in its loss; 1 for a class without images. A list of numbers is taken as
    it is.
    """
    if setting != "balanced":
        return compute_class_weights(setting, labels, labels.shape[1])
    present = labels.sum(axis=0, dtype=np.int64)
    return np.where(present, (len(labels) - present) / np.maximum(present, 1), 1.0).tolist()


def compute_chance(labels: np.ndarray) -> tuple[float, float]:
    """Return the loss, and the share of exact matches, of guessing by how often classes are seen.

    `labels` are (N, classes) of 0 and 1. The loss is the mean entropy of the classes in nats.
    """
    share = labels.mean(axis=0)
    guess = share >= 0.5
    terms = [p * np.log(p, where=p > 0, out=np.zeros_like(p)) for p in (share, 1 - share)]
    return float(-sum(terms).mean()), float((labels.astype(bool) == guess).all(axis=1).mean())
