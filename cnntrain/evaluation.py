"""How good a network is on a split: every example once, in float64."""

import keras
import numpy as np
from scipy.special import log_softmax

from cnntrain import pipeline
from cnntrain.datasets.source import Examples


def evaluate(network: keras.Model, examples: Examples, batch_size: int) -> dict[str, float]:
    """Return the mean cross-entropy, `loss`, in nats, and the top-1 `accuracy` of `examples`."""
    return headline(predicted(network, examples, batch_size), examples.labels)


def predicted(network: keras.Model, examples: Examples, batch_size: int) -> np.ndarray:
    """Return the logarithms of the probabilities of all classes (N, classes), float64."""
    batches = pipeline.evaluation(examples, batch_size)
    return log_probabilities(network.predict(batches, verbose=0))


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return float64 logarithms (N, classes) for logits (N, classes), or (N, 1) for two classes."""
    if logits.shape[-1] == 1:  # one unit: the first class has the logit 0
        logits = np.hstack([np.zeros_like(logits), logits])
    return log_softmax(logits.astype(np.float64), axis=-1)


def headline(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the `loss` and the `accuracy` of predictions (N, classes) for labels (N,)."""
    chosen = np.take_along_axis(log_probabilities, labels[:, np.newaxis], axis=-1)
    hits = log_probabilities.argmax(axis=-1) == labels
    return {"loss": float(-chosen.mean()), "accuracy": float(hits.mean())}
