"""Batch norm as one operation of TensorFlow, where Keras computes it from a dozen."""

import math

import keras
import tensorflow as tf

from cnntrain.training.networks.replaced_calls import Call


def choose_norm_call(layer: keras.layers.Layer) -> Call | None:
    """Return `normalise_by_batch` for a batch norm that the operation computes; else None.

    It computes what the layers do, but rounds elsewhere. In half precision it reads and writes 16
    bits, and sums in float32. Layers that are frozen, or that are no plain batch norm over the last
    axis of (B, H, W, C), compute as before.
    """
    return normalise_by_batch if can_be_fused(layer) else None


def can_be_fused(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is a batch norm that the operation computes."""
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not (layer.renorm or layer.synchronized)
    )


def normalise_by_batch(
    layer: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
    training: bool | None = None,
    mask: None = None,
) -> tf.Tensor:
    """Return feature maps normalised by their batch, and update the layer's moving statistics."""
    if not (training and layer.trainable):
        return type(layer).call(layer, inputs, training=training)
    channels = inputs.shape[-1]
    scale = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones(channels)
    offset = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros(channels)
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs, scale, offset, epsilon=layer.epsilon, is_training=True
    )
    count = math.prod(inputs.shape[:-1])
    biased = variance * ((count - 1) / count)  # as Keras has it
    for average, value in ((layer.moving_mean, mean), (layer.moving_variance, biased)):
        average.assign(average * layer.momentum + value * (1.0 - layer.momentum))
    return outputs
