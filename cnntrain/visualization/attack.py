"""How little makes the network err: the fast gradient sign method (Goodfellow et al. 2014)."""

import numpy as np

from cnntrain.inference.fgsm import behind_the_cast, gradient
from cnntrain.visualization.grad_cam import best_of
from cnntrain.visualization.inspection import Sight, probabilities, ranked
from cnntrain.visualization.sections import Row, Section, Tile


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
