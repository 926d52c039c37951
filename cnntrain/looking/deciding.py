"""Where a network looks for a class, and how little makes it err."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from PIL import Image

from cnntrain.inference.fgsm import behind_the_cast, gradient
from cnntrain.looking import classical_filters
from cnntrain.looking.grad_cam import grad_cam
from cnntrain.looking.inside import last_maps
from cnntrain.looking.sections import Row, Section, Tile
from cnntrain.looking.sight import Sight, probabilities, ranked
from cnntrain.reports.run_page import percent


def where(one: Sight) -> Section:
    """Grad-CAM of the class that is looked for."""
    place, name = last_maps(one.places), one.names[one.target]
    found = grad_cam(one.network, one.image, place.name, one.target)
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
        Tile(overlay(one.image, heat), f"what speaks for {name}"),
        Tile(heat_map(heat), "the heat map"),
    ]
    return Section("grad_cam", f"Where it looks for {name}", text, [Row("", tiles)], 3)


def heat_map(heat: np.ndarray) -> np.ndarray:
    """Shares (H, W) of the highest as colours (H, W, 3) uint8."""
    return np.round(255 * mpl.colormaps["inferno"](heat)[..., :3]).astype(np.uint8)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The heat over a picture in grey, which shows through where it is cold."""
    picture = np.repeat(classical_filters.grey(image)[..., np.newaxis], 3, axis=-1)
    colours = heat_map(heat)
    share = 0.65 * heat[..., np.newaxis]
    return np.round((1 - share) * picture + share * colours).astype(np.uint8)


def attack(one: Sight) -> Section:
    """The picture, a step against the prediction, and what the network takes the sum for."""
    said, epsilon = int(one.probabilities.argmax()), one.wishes.epsilon
    slope = gradient(behind_the_cast(one.network))
    images = one.image[np.newaxis].astype(np.float32)
    signs = np.sign(slope(images, np.array([said], np.int32)))[0]
    moved = np.clip(one.image + epsilon * signs, 0, 255).astype(np.uint8)
    after = probabilities(one.network.predict_on_batch(moved[np.newaxis]))
    one.facts["adversarial"] = {"epsilon": epsilon, "classes": ranked(after, one.names)}
    step = moved.astype(np.float32) - one.image  # less than epsilon where a pixel is black or white
    enlarged = np.round(127.5 + 127.5 * step / epsilon).astype(np.uint8)
    tiles = [
        Tile(one.image, best_of(one.probabilities, one.names), exact=True),
        Tile(enlarged, f"the step, enlarged {127.5 / epsilon:.3g} times", exact=True),
        Tile(moved, best_of(after, one.names), exact=True),
    ]
    text = (
        f"Every pixel moved by {epsilon} of 255 against the prediction (fast gradient sign "
        "method, Goodfellow et al. 2015). misread.png is the result, pixel for pixel."
    )
    return Section("adversarial", "How little makes it err", text, [Row("", tiles)], 3)


def best_of(shares: np.ndarray, names: Sequence[str]) -> str:
    return f"{names[int(shares.argmax())]}, {percent(shares.max())}"
