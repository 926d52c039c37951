"""How little makes the network err: the fast gradient sign method (Goodfellow et al. 2014)."""

import numpy as np

from cnntrain.inference.fgsm import build_gradient_function, rebuild_with_float_input
from cnntrain.visualization.grad_cam import format_best_class
from cnntrain.visualization.inspection import Inspection, compute_probabilities, rank_classes
from cnntrain.visualization.sections import Section, Tile, TileRow


def build_attack_section(one: Inspection) -> Section:
    """The picture, a step against the prediction, and what the network takes the sum for."""
    said, epsilon = int(one.probabilities.argmax()), one.options.epsilon
    slope = build_gradient_function(rebuild_with_float_input(one.network))
    images = one.image[np.newaxis].astype(np.float32)
    signs = np.sign(slope(images, np.array([said], np.int32)))[0]
    moved = np.clip(one.image + epsilon * signs, 0, 255).astype(np.uint8)
    after = compute_probabilities(one.network.predict_on_batch(moved[np.newaxis]))
    one.facts["adversarial"] = {"epsilon": epsilon, "classes": rank_classes(after, one.names)}
    step = moved.astype(np.float32) - one.image  # less than epsilon where a pixel is black or white
    enlarged = np.round(127.5 + 127.5 * step / epsilon).astype(np.uint8)
    tiles = [
        Tile(one.image, format_best_class(one.probabilities, one.names), exact=True),
        Tile(enlarged, f"the step, enlarged {127.5 / epsilon:.3g} times", exact=True),
        Tile(moved, format_best_class(after, one.names), exact=True),
    ]
    text = (
        f"Every pixel moved by {epsilon} of 255 against the prediction (fast gradient sign "
        "method, Goodfellow et al. 2015). misread.png is the result, pixel for pixel."
    )
    return Section("adversarial", "How little makes it err", text, [TileRow("", tiles)], 3)
