"""The network."""

import hashlib
from typing import Any

import keras
import numpy as np

from cnntrain.eject.components import build_model, draw_head_weights, draw_weights
from cnntrain.eject.template.settings import (
    BATCH_NORM_MOMENTUM,
    HAS_BATCH_NORM,
    HAS_OWN_HEAD_WEIGHTS,
    HAS_PRETRAINED,
    HEAD_GAIN,
    IMAGE_SHAPE,
    NESTS_MODELS,
    NORMALISATION,
    NUM_CLASSES,
    SEED,
    TOTAL_STEPS,
)
from cnntrain.training.networks.build import iterate_leaf_layers


def build_network(train_images: np.ndarray) -> tuple[keras.Model, keras.Model]:
    """Return the network, from raw pixels (B, H, W, C) uint8 to logits, and the model inside it.

    Its first layer normalises, so that whoever loads the saved network cannot do it wrongly.
    """
    model = build_model(IMAGE_SHAPE, NUM_CLASSES)
    initialize_kernels(model)
    if HAS_BATCH_NORM:
        # Running means with Keras' momentum, 0.99, would still be 43 % what they began with after
        # 85 steps. So that of a short run is smaller.
        for layer in iterate_leaf_layers(model) if NESTS_MODELS else model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                if BATCH_NORM_MOMENTUM == "auto":
                    layer.momentum = min(0.99, max(0.5, 1 - 10 / TOTAL_STEPS))
                else:
                    layer.momentum = BATCH_NORM_MOMENTUM
    scale, offset = compute_normalisation(train_images)
    normalisation = keras.layers.Rescaling(scale, offset, dtype="float32", name="normalisation")
    images = keras.Input(IMAGE_SHAPE, dtype="uint8", name="images")
    return keras.Model(images, model(normalisation(images)), name=model.name), model


def initialize_kernels(model: keras.Model) -> None:
    """Draw every kernel anew, each from a seed of its own; biases stay zero.

    A layer that is added so leaves the first weights of the others as they were.
    """
    if HAS_PRETRAINED:
        pretrained = {v.path for name in model.pretrained for v in model.get_layer(name).weights}
    weighted = [layer for layer in model.layers if layer.weights]
    outputs = [layer for layer in weighted if layer.name in model.output_names]
    heads = {layer.path for layer in outputs or weighted[-1:]}
    for variable in model.trainable_variables:
        if "kernel" not in variable.name or len(variable.shape) == 1:
            continue
        if HAS_PRETRAINED and variable.path in pretrained:
            continue  # it has been learnt on ImageNet
        digest = hashlib.sha256(f"{SEED}/{variable.path}".encode()).digest()
        seed = int.from_bytes(digest[:4]) >> 1
        is_head = variable.path.rpartition("/")[0] in heads
        if HAS_OWN_HEAD_WEIGHTS and is_head:
            initializer = draw_head_weights(seed)
        else:
            initializer = draw_weights(seed)
        value = initializer(variable.shape, variable.dtype)
        variable.assign(value * HEAD_GAIN if is_head else value)


def compute_normalisation(images: np.ndarray) -> tuple[Any, Any]:
    """Return the scale and the offset that normalise images like these training images."""
    if NORMALISATION == "none":
        return 1.0, 0.0
    if NORMALISATION == "rescale":
        return 1 / 255, 0.0
    if NORMALISATION == "standardise":
        # To mean 0 and deviation 1 in each channel, from exact counts of the 256 values.
        values = np.arange(256)
        channels = [images[..., c].ravel() for c in range(images.shape[-1])]
        counts = np.array([np.bincount(channel, minlength=256) for channel in channels])
        means = np.array([np.average(values, weights=n) for n in counts])
        squares = np.array([np.average(values**2, weights=n) for n in counts])
        deviations = np.sqrt(np.maximum(squares - means**2, 0))
        scale = 1 / np.where(deviations == 0, 255, deviations)
        return scale.tolist(), (-means * scale).tolist()
    if NORMALISATION == "pixel_mean":
        # To 0..1, less the mean image (He et al. 2015, arXiv:1512.03385, section 4.2).
        mean = images.sum(axis=0, dtype=np.int64) / len(images)
        return 1 / 255, (-mean / 255).tolist()
    # Less the mean of each channel (Simonyan & Zisserman 2014, arXiv:1409.1556, section 2.1).
    sums = images.sum(axis=(0, 1, 2), dtype=np.int64)
    return 1.0, (-(sums / images[..., 0].size)).tolist()
