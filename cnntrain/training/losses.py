"""The loss and the metrics of training.

Logits are (B, classes). A head of one unit has logits (B, 1), which stand for two classes: the
first has the logit 0, so that their cross-entropy is the binary cross-entropy. Labels are class
numbers (B,), or soft labels (B, classes): the share of each class, as augmentations that mix images
make them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cnntrain.errors import SpecError
from cnntrain.training.networks.build import is_kernel

LossFunction = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]


def build_loss(
    label_smoothing: float,
    focal_gamma: float,
    class_weights: Sequence[float] | None,
    rejection: float | None = None,
) -> LossFunction:
    """Return the loss function: from labels and logits to a value for each example (B,), in nats.

    It is the cross-entropy, changed by the settings that are not 0 or None:

    `label_smoothing` spreads that much of each target over all classes (Szegedy et al. 2015,
    section 7); `focal_gamma` multiplies each term by (1 - p)^gamma (Lin et al. 2017,
    arXiv:1708.02002, equation 4); `class_weights` weigh an example by its class; `rejection` is
    the constant j of LeCun et al. (1998, equation 9), which adds a class with the logit -j to which
    no image belongs. For soft labels the loss is the sum of share * loss over the classes, as in
    mixup.
    """
    if not (label_smoothing or focal_gamma or class_weights) and rejection is None:
        return compute_cross_entropy

    def loss(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        logits = expand_single_logit(logits)
        classes = logits.shape[-1]
        targets = make_soft_labels(labels, classes)  # (B, classes)
        if class_weights:
            targets = targets * ops.array(class_weights, "float32")
        spread = ops.sum(targets, axis=-1, keepdims=True) / classes
        smooth = targets * (1 - label_smoothing) + label_smoothing * spread
        total = ops.logsumexp(logits, axis=-1, keepdims=True)
        if rejection is not None:
            total = ops.logaddexp(total, -rejection)
        log_p = logits - total
        terms = -smooth * log_p
        if focal_gamma:  # at 0 the gradient of the power would not be finite
            terms = terms * ops.maximum(-ops.expm1(log_p), 1e-7) ** focal_gamma
        return ops.sum(terms, axis=-1)

    return loss


def compute_class_weights(
    setting: str | Sequence[float], labels: np.ndarray, classes: int
) -> list[float]:
    """Return the weight of each class, or an empty list for the setting `none`.

    `balanced` gives n / (classes * n_class); a list of numbers is taken as it is. Raises SpecError
    if it has not one number for each class, or only zeros.
    """
    if setting == "none":
        return []
    if setting == "balanced":
        counts = np.bincount(labels, minlength=classes)
        return (len(labels) / (classes * np.maximum(counts, 1))).tolist()
    if len(setting) != classes:
        raise SpecError(
            f"loss.class_weights has {len(setting)} numbers and there are {classes} classes",
            "a weight for each class, or balanced",
            "loss.class_weights=balanced",
        )
    if not any(setting):
        raise SpecError("loss.class_weights are all 0", "at least one class that counts")
    return [float(weight) for weight in setting]


def compute_cross_entropy(
    labels: keras.KerasTensor, logits: keras.KerasTensor
) -> keras.KerasTensor:
    """Return the softmax cross-entropy (B,), in nats, of labels of either kind."""
    logits = expand_single_logit(logits)
    if are_soft_labels(labels, logits.shape[-1]):
        return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def compute_accuracy(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return (B,) 1 where the largest logit is that of the label, else 0.

    The class of a soft label is the one with the largest share.
    """
    logits = expand_single_logit(logits)
    soft = are_soft_labels(labels, logits.shape[-1])
    targets = ops.argmax(labels, axis=-1) if soft else ops.reshape(labels, (-1,))
    return ops.cast(ops.argmax(logits, axis=-1) == ops.cast(targets, "int32"), "float32")


def build_metrics() -> list[keras.metrics.Metric]:
    """Return the epoch's means of the accuracy and, whatever the loss, of the cross-entropy."""
    return [
        keras.metrics.MeanMetricWrapper(compute_cross_entropy, name="cross_entropy"),
        keras.metrics.MeanMetricWrapper(compute_accuracy, name="accuracy"),
    ]


def expand_single_logit(logits: Any, library: Any = ops) -> Any:
    """Return logits with a column for each class: (B, 2) for logits (B, 1) of one unit.

    Logits are tensors, or arrays if numpy is the `library`.
    """
    if logits.shape[-1] != 1:
        return logits
    return library.concatenate([library.zeros_like(logits), logits], axis=-1)


def are_soft_labels(labels: keras.KerasTensor, classes: int) -> bool:
    """Return whether labels are (B, classes); Keras may pass on class numbers as (B, 1)."""
    return len(labels.shape) == 2 and labels.shape[-1] == classes


def make_soft_labels(labels: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Return labels of either kind as float32 soft labels (B, classes)."""
    if are_soft_labels(labels, classes):
        return ops.cast(labels, "float32")
    return ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), classes)


def compute_l2_loss(network: keras.Model, l2: float) -> float:
    """Return what L2 adds to the loss: l2 * sum(w^2) over the kernels of `network` that train."""
    kernels = (v.numpy().ravel() for v in network.trainable_variables if is_kernel(v))
    return l2 * sum(float(np.vdot(kernel, kernel)) for kernel in kernels)


def compute_chance_loss(labels: np.ndarray) -> float:
    """Return the loss, in nats, of guessing by the frequency of classes; ln(classes) if equal."""
    share = np.bincount(labels) / len(labels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())
