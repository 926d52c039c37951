"""How good a network is on a split: every example once, in float64."""

import keras
import numpy as np
from scipy.special import log_softmax

from cnntrain.data import pipeline
from cnntrain.data.source import Examples
from cnntrain.training.losses import expand_single_logit
from cnntrain.training.metrics import score_by_class

METRICS = ("loss", "accuracy", "balanced_accuracy", "macro_f1")


def evaluate_network(network: keras.Model, examples: Examples, batch_size: int) -> dict[str, float]:
    """Return the numbers of `headline` for `examples`."""
    return compute_headline_metrics(
        predict_log_probabilities(network, examples, batch_size), examples.labels
    )


def predict_log_probabilities(
    network: keras.Model, examples: Examples, batch_size: int
) -> np.ndarray:
    """Return the logarithms of the probabilities of all classes (N, classes), float64."""
    return compute_log_probabilities(predict_outputs(network, examples, batch_size))


def predict_outputs(network: keras.Model, examples: Examples, batch_size: int) -> np.ndarray:
    """Return what a network puts out for each of `examples`, in their order."""
    shared = keras.distribution.distribution()  # on JAX, over so many devices
    batches = pipeline.make_evaluation_batches(
        examples, batch_size, shared.num_model_replicas if shared else 1
    )
    return network.predict(batches, verbose=0)[: len(examples)]


def compute_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return float64 logarithms (N, classes) for logits (N, classes), or (N, 1) for two classes."""
    return log_softmax(expand_single_logit(logits, np).astype(np.float64), axis=-1)


def compute_headline_metrics(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the `NUMBERS` of predictions (N, classes) for labels (N,).

    The loss is the mean cross-entropy in nats, `accuracy` top-1. `balanced_accuracy` and `macro_f1`
    are means over the classes that have images, of their recall and F1.
    """
    chosen = np.take_along_axis(log_probabilities, labels[:, np.newaxis], axis=-1)
    guesses = log_probabilities.argmax(axis=-1)
    _, _, recall, f1, _ = score_by_class(labels, guesses, log_probabilities.shape[-1])
    numbers = (-chosen.mean(), (guesses == labels).mean(), np.nanmean(recall), np.nanmean(f1))
    return dict(zip(METRICS, map(float, numbers), strict=True))
