"""The loss and the metrics of training, for logits (B, classes) and labels (B,) int32."""

import keras
from keras import ops


def cross_entropy(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return the softmax cross-entropy (B,), in nats."""
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def accuracy(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 where the largest logit is the label's, else 0 (B,)."""
    return ops.cast(ops.argmax(logits, axis=-1) == ops.cast(labels, "int32"), "float32")


def metrics() -> list[keras.metrics.Metric]:
    """The means over an epoch: plain cross-entropy, whatever else is minimised, and accuracy."""
    return [
        keras.metrics.MeanMetricWrapper(cross_entropy, name="cross_entropy"),
        keras.metrics.MeanMetricWrapper(accuracy, name="accuracy"),
    ]
