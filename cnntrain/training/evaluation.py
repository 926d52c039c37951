"""Evaluate a network on every example of a split; probabilities and metrics are float64."""

import keras
import numpy as np
from scipy.special import log_softmax

from cnntrain.data import pipeline
from cnntrain.data.source import Examples
from cnntrain.training.losses import expand_single_logit
from cnntrain.training.metrics import score_by_class

METRICS = ("loss", "accuracy", "balanced_accuracy", "macro_f1")


def evaluate_network(network: keras.Model, examples: Examples, batch_size: int) -> dict[str, float]:
    """Return the `METRICS` of a network for `examples`."""
    return compute_headline_metrics(
        predict_log_probabilities(network, examples, batch_size), examples.labels
    )


def predict_log_probabilities(
    network: keras.Model, examples: Examples, batch_size: int
) -> np.ndarray:
    """Return the float64 logarithms (N, classes) of the probabilities of all classes."""
    return compute_log_probabilities(predict_outputs(network, examples, batch_size))


def predict_outputs(network: keras.Model, examples: Examples, batch_size: int) -> np.ndarray:
    """Return the outputs of a network for `examples`, in their order."""
    distribution = keras.distribution.distribution()  # only on JAX with several devices
    batches = pipeline.make_evaluation_batches(
        examples, batch_size, distribution.num_model_replicas if distribution else 1
    )
    return network.predict(batches, verbose=0)[: len(examples)]


def compute_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return float64 logarithms (N, classes) for logits (N, classes), or (N, 1) for two classes."""
    return log_softmax(expand_single_logit(logits, np).astype(np.float64), axis=-1)


def compute_headline_metrics(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the `METRICS` of predictions (N, classes) for labels (N,).

    `loss` is the mean cross-entropy in nats, `accuracy` the top-1 accuracy. `balanced_accuracy` is
    the mean recall, `macro_f1` the mean F1, both over the classes that have images.
    """
    chosen = np.take_along_axis(log_probabilities, labels[:, np.newaxis], axis=-1)
    guesses = log_probabilities.argmax(axis=-1)
    _, _, recall, f1, _ = score_by_class(labels, guesses, log_probabilities.shape[-1])
    numbers = (-chosen.mean(), (guesses == labels).mean(), np.nanmean(recall), np.nanmean(f1))
    return dict(zip(METRICS, map(float, numbers), strict=True))
