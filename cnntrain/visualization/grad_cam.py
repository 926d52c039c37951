"""Grad-CAM: where a network looks for a class (Selvaraju et al. 2017, arXiv:1610.02391)."""

from collections.abc import Sequence

import keras
import matplotlib as mpl
import numpy as np
import tensorflow as tf
from PIL import Image

from cnntrain.terminal.units import format_percent
from cnntrain.training.losses import expand_single_logit
from cnntrain.visualization.filters import compute_brightness
from cnntrain.visualization.inspection import Inspection
from cnntrain.visualization.layer_outputs import compute_layer_outputs, find_last_feature_maps
from cnntrain.visualization.sections import Section, Tile, TileRow


def build_grad_cam_section(inspection: Inspection) -> Section:
    """Return a section of the Grad-CAM heat map of the target class, in the last feature maps.

    Adds the fact `grad_cam` to the inspection.
    """
    assert inspection.target is not None
    output, name = (
        find_last_feature_maps(inspection.layer_outputs),
        inspection.names[inspection.target],
    )
    cam = compute_grad_cam(inspection.network, inspection.image, output.name, inspection.target)
    height, width = inspection.image.shape[:2]
    enlarged = Image.fromarray(cam).resize((width, height), Image.Resampling.BILINEAR)
    heat = np.asarray(enlarged) / (cam.max() or 1)
    inspection.facts["grad_cam"] = {"class": name, "layer": output.name, "maps": output.shape[:2]}
    text = (
        f"Grad-CAM for {name} over {output.name}, {output.shape[0]}×{output.shape[1]} positions: "
        "the maps, each weighted by how much it raises the score of the class."
        if cam.any()
        else f"Nothing in the maps of {output.name} speaks for {name}: Grad-CAM is 0 everywhere."
    )
    tiles = [
        Tile(inspection.image, "the picture"),
        Tile(overlay_heat_map(inspection.image, heat), f"what speaks for {name}"),
        Tile(color_heat_map(heat), "the heat map"),
    ]
    return Section("grad_cam", f"Where it looks for {name}", text, [TileRow("", tiles)], 3)


def color_heat_map(heat: np.ndarray) -> np.ndarray:
    """Return the colours (H, W, 3) uint8 of a heat map (H, W) from 0 to 1."""
    return np.round(255 * mpl.colormaps["inferno"](heat)[..., :3]).astype(np.uint8)


def overlay_heat_map(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) in grey under a heat map (H, W) from 0 to 1, as (H, W, 3) uint8.

    The colder the heat, the more of the image shows through.
    """
    grey = np.repeat(compute_brightness(image)[..., np.newaxis], 3, axis=-1)
    opacity = 0.65 * heat[..., np.newaxis]
    return np.round((1 - opacity) * grey + opacity * color_heat_map(heat)).astype(np.uint8)


def format_best_class(probabilities: np.ndarray, names: Sequence[str]) -> str:
    """Return the likeliest class with its probability (classes,) in per cent."""
    return f"{names[int(probabilities.argmax())]}, {format_percent(probabilities.max())}"


def compute_grad_cam(network: keras.Model, image: np.ndarray, name: str, target: int) -> np.ndarray:
    """Return the Grad-CAM map (h, w) float32 of class `target` in the feature maps of a layer.

    The layer's feature maps of the image (H, W, C) uint8 are weighted by the mean gradient of the
    class's logit over each, and added up. Negative sums, which speak against the class, become 0.
    """
    images = tf.constant(image[np.newaxis], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)  # a frozen network has no variables that the tape watches by itself
        outputs, logits = compute_layer_outputs(network, images)
        score = select_logit(logits, target)
    maps = outputs[name]  # (1, h, w, channels)
    gradient = tape.gradient(score, maps, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    weights = tf.reduce_mean(tf.cast(gradient, tf.float32), axis=(1, 2))  # (1, channels)
    weighted_sum = tf.einsum("bhwc,bc->bhw", tf.cast(maps, tf.float32), weights)
    return tf.nn.relu(weighted_sum)[0].numpy()


def select_logit(logits: tf.Tensor, target: int) -> tf.Tensor:
    """Return the score of a class in logits (1, classes), or (1, 1) for two classes.

    A single unit is the logit of the second class; its negative is the score of the first.
    """
    if logits.shape[-1] == 1:
        first, second = tf.unstack(expand_single_logit(logits)[0])
        return second - first if target == 1 else first - second
    return logits[0, target]
