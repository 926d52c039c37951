"""How good a network is on a split: every example once, in float64."""

import keras
import numpy as np
from scipy.special import log_softmax

from cnntrain import pipeline
from cnntrain.datasets.source import Examples


def evaluate(network: keras.Model, examples: Examples, batch_size: int) -> dict[str, float]:
    """Return the mean cross-entropy, `loss`, in nats, and the top-1 `accuracy` of `examples`."""
    logits = predicted(network, examples, batch_size)  # (N, classes)
    if logits.shape[-1] == 1:  # one unit: the first class has the logit 0
        logits = np.hstack([np.zeros_like(logits), logits])
    log_probabilities = log_softmax(logits.astype(np.float64), axis=-1)
    chosen = np.take_along_axis(log_probabilities, examples.labels[:, np.newaxis], axis=-1)
    hits = logits.argmax(axis=-1) == examples.labels
    return {"loss": float(-chosen.mean()), "accuracy": float(hits.mean())}


def predicted(network: keras.Model, examples: Examples, batch_size: int) -> np.ndarray:
    """Return what a network puts out for each of `examples`."""
    shared = keras.distribution.distribution()  # on JAX, over so many devices
    batches = pipeline.evaluation(examples, batch_size, shared.num_model_replicas if shared else 1)
    return network.predict(batches, verbose=0)[: len(examples)]
