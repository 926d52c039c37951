"""Where a network looks for a class, and how little makes it err."""

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


def build_grad_cam_section(one: Inspection) -> Section:
    """Grad-CAM of the class that is looked for."""
    place, name = find_last_feature_maps(one.layer_outputs), one.names[one.target]
    found = compute_grad_cam(one.network, one.image, place.name, one.target)
    height, width = one.image.shape[:2]
    photo = Image.fromarray(found).resize((width, height), Image.Resampling.BILINEAR)
    heat = np.asarray(photo) / (found.max() or 1)
    one.facts["grad_cam"] = {"class": name, "layer": place.name, "maps": place.shape[:2]}
    text = (
        f"Grad-CAM for {name} over {place.name}, {place.shape[0]}×{place.shape[1]} positions: the "
        "maps, each weighted by how much it raises the score of the class."
        if found.any()
        else f"Nothing in the maps of {place.name} speaks for {name}: Grad-CAM is 0 everywhere."
    )
    tiles = [
        Tile(one.image, "the picture"),
        Tile(overlay_heat_map(one.image, heat), f"what speaks for {name}"),
        Tile(color_heat_map(heat), "the heat map"),
    ]
    return Section("grad_cam", f"Where it looks for {name}", text, [TileRow("", tiles)], 3)


def color_heat_map(heat: np.ndarray) -> np.ndarray:
    """Shares (H, W) of the highest as colours (H, W, 3) uint8."""
    return np.round(255 * mpl.colormaps["inferno"](heat)[..., :3]).astype(np.uint8)


def overlay_heat_map(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The heat over a picture in grey, which shows through where it is cold."""
    picture = np.repeat(compute_brightness(image)[..., np.newaxis], 3, axis=-1)
    colours = color_heat_map(heat)
    share = 0.65 * heat[..., np.newaxis]
    return np.round((1 - share) * picture + share * colours).astype(np.uint8)


def format_best_class(shares: np.ndarray, names: Sequence[str]) -> str:
    return f"{names[int(shares.argmax())]}, {format_percent(shares.max())}"


def compute_grad_cam(network: keras.Model, image: np.ndarray, name: str, target: int) -> np.ndarray:
    """Return the map (h, w) float32 of what speaks for class `target` in the maps of a layer.

    The layer's maps of an image (H, W, C) uint8, each weighted by the mean of the class's slope
    over it, added up; what speaks against the class is 0. The class's score is its logit.
    """
    images = tf.constant(image[np.newaxis], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)  # where all is frozen nothing else would be
        seen, logits = compute_layer_outputs(network, images)
        score = select_logit(logits, target)
    maps = seen[name]  # (1, h, w, channels)
    slope = tape.gradient(score, maps, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    weights = tf.reduce_mean(tf.cast(slope, tf.float32), axis=(1, 2))  # (1, channels)
    added = tf.einsum("bhwc,bc->bhw", tf.cast(maps, tf.float32), weights)
    return tf.nn.relu(added)[0].numpy()


def select_logit(logits: tf.Tensor, target: int) -> tf.Tensor:
    """Return the score of a class among logits (1, classes); of one unit, what it has more.

    There the logit of the first class is the constant 0, which has no slope.
    """
    if logits.shape[-1] == 1:
        first, second = tf.unstack(expand_single_logit(logits)[0])
        return second - first if target == 1 else first - second
    return logits[0, target]
