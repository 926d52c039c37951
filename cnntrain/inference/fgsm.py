"""FGSM, the fast gradient sign method: adversarial images (Goodfellow et al. 2015)."""

import keras
import numpy as np
import tensorflow as tf

from cnntrain.data.source import Examples
from cnntrain.training.labels.kind import compute_log_probabilities
from cnntrain.training.losses import compute_cross_entropy


def measure_adversarial_accuracies(
    network: keras.Model, examples: Examples, epsilons: list[float], batch_size: int
) -> list[float]:
    """Return the accuracy on adversarial images of `examples`, for each of `epsilons`.

    Every pixel is moved by epsilon, of 255, along the sign of the gradient of its image's loss.
    """
    twin, hits = rebuild_with_float_input(network), np.zeros(len(epsilons), int)
    compute_gradient = build_gradient_function(twin)
    for start in range(0, len(examples), batch_size):
        batch = examples[np.arange(start, min(start + batch_size, len(examples)))]
        images = batch.images.astype(np.float32)
        signs = np.sign(compute_gradient(images, batch.labels))
        for number, epsilon in enumerate(epsilons):
            adversarial = np.clip(images + np.float32(epsilon) * signs, 0, 255)
            logits = twin.predict_on_batch(adversarial)
            guesses = compute_log_probabilities(logits).argmax(axis=-1)
            hits[number] += int((guesses == batch.labels).sum())
    return (hits / len(examples)).tolist()


def build_gradient_function(twin: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Return a function from float images (B, H, W, C) and labels (B,) to gradients (B, H, W, C).

    The gradient of an image is that of its own loss with regard to its pixels. `twin` is a network
    with float input.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def compute_gradient(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            losses = compute_cross_entropy(labels, twin(images, training=False))  # (B,)
        return tape.gradient(losses, images)

    return lambda images, labels: compute_gradient(tf.constant(images), tf.constant(labels)).numpy()


def rebuild_with_float_input(network: keras.Model) -> keras.Model:
    """Return a network of the same layers that takes float32 pixels (B, H, W, C) from 0 to 255.

    Saved networks take uint8 pixels, which have no gradient. They are a chain of the normalisation
    and the model built behind it.
    """
    images = x = keras.Input(network.input_shape[1:], dtype="float32")
    for layer in network.layers[1:]:
        x = layer(x)
    return keras.Model(images, x)
