"""Where a network looks for a class: Grad-CAM (Selvaraju et al. 2017, section 3)."""

import keras
import numpy as np
import tensorflow as tf

from cnntrain.looking.inside import passed


def grad_cam(network: keras.Model, image: np.ndarray, name: str, target: int) -> np.ndarray:
    """Return the map (h, w) float32 of what speaks for class `target` in the maps of a layer.

    The layer's maps of an image (H, W, C) uint8, each weighted by the mean of the class's slope
    over it, added up; what speaks against the class is 0. The class's score is its logit.
    """
    images = tf.constant(image[np.newaxis], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)  # where all is frozen nothing else would be
        seen, logits = passed(network, images)
        score = logit(logits, target)
    maps = seen[name]  # (1, h, w, channels)
    slope = tape.gradient(score, maps, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    weights = tf.reduce_mean(tf.cast(slope, tf.float32), axis=(1, 2))  # (1, channels)
    added = tf.einsum("bhwc,bc->bhw", tf.cast(maps, tf.float32), weights)
    return tf.nn.relu(added)[0].numpy()


def logit(logits: tf.Tensor, target: int) -> tf.Tensor:
    """The score of a class among logits (1, classes); of one unit, which is the second class's."""
    if logits.shape[-1] == 1:
        return logits[0, 0] if target == 1 else -logits[0, 0]
    return logits[0, target]
