"""Images made to be misread: the fast gradient sign method (Goodfellow et al. 2015)."""

import keras
import numpy as np
import tensorflow as tf

from cnntrain.data.source import Examples
from cnntrain.training.evaluation import compute_log_probabilities
from cnntrain.training.losses import compute_cross_entropy


def measure_adversarial_accuracies(
    network: keras.Model, examples: Examples, epsilons: list[float], batch_size: int
) -> list[float]:
    """Return the accuracy on `examples` after a step of each epsilon against the network."""
    twin, hits = rebuild_with_float_input(network), np.zeros(len(epsilons), int)
    slope = build_gradient_function(twin)
    for start in range(0, len(examples), batch_size):
        part = examples[np.arange(start, min(start + batch_size, len(examples)))]
        images = part.images.astype(np.float32)
        signs = np.sign(slope(images, part.labels))
        for number, epsilon in enumerate(epsilons):
            moved = np.clip(images + np.float32(epsilon) * signs, 0, 255)
            guesses = compute_log_probabilities(twin.predict_on_batch(moved)).argmax(axis=-1)
            hits[number] += int((guesses == part.labels).sum())
    return (hits / len(examples)).tolist()


def build_gradient_function(twin: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Return the function of images and labels that gives the loss's gradient at the images."""

    @tf.function(reduce_retracing=True, autograph=False)
    def slope(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = compute_cross_entropy(
                labels, twin(images, training=False)
            )  # (B,): each its own image's
        return tape.gradient(loss, images)

    return lambda images, labels: slope(tf.constant(images), tf.constant(labels)).numpy()


def rebuild_with_float_input(network: keras.Model) -> keras.Model:
    """Return the same layers with float32 pixels (B, H, W, C), 0 to 255, for an input.

    A network takes bytes, which have no gradient. Ours are a chain: the normalisation, then what
    was built behind it.
    """
    images = x = keras.Input(network.input_shape[1:], dtype="float32")
    for layer in network.layers[1:]:
        x = layer(x)
    return keras.Model(images, x)
