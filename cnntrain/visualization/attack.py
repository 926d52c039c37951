"""An adversarial image of the picture, made by FGSM (Goodfellow et al. 2015)."""

import numpy as np

from cnntrain.inference.fgsm import build_gradient_function, rebuild_with_float_input
from cnntrain.visualization.grad_cam import format_best_class
from cnntrain.visualization.inspection import Inspection, rank_classes
from cnntrain.visualization.sections import Section, Tile, TileRow


def build_attack_section(inspection: Inspection) -> Section:
    """Return a section of the picture, the FGSM step against its prediction, and their sum.

    Adds the fact `adversarial` to the inspection. The sum is the last tile of the section. The
    heading says whether it has changed the class.
    """
    predicted, epsilon = int(inspection.probabilities.argmax()), inspection.options.epsilon
    compute_gradient = build_gradient_function(rebuild_with_float_input(inspection.network))
    images = inspection.image[np.newaxis].astype(np.float32)
    signs = np.sign(compute_gradient(images, np.array([predicted], np.int32)))[0]
    adversarial = np.clip(inspection.image + epsilon * signs, 0, 255).astype(np.uint8)
    after = inspection.predict(adversarial).probabilities
    assert after is not None
    inspection.facts["adversarial"] = {
        "epsilon": epsilon,
        "classes": rank_classes(after, inspection.names),
    }
    # Clipping has made the step smaller than epsilon where a pixel is black or white.
    step = adversarial.astype(np.float32) - inspection.image
    enlarged = np.round(127.5 + 127.5 * step / epsilon).astype(np.uint8)
    tiles = [
        Tile(
            inspection.image,
            format_best_class(inspection.probabilities, inspection.names),
            exact=True,
        ),
        Tile(enlarged, f"the step, enlarged {127.5 / epsilon:.3g} times", exact=True),
        Tile(adversarial, format_best_class(after, inspection.names), exact=True),
    ]
    text = (
        f"Every pixel moved by {epsilon} of 255 against the prediction (fast gradient sign "
        "method, Goodfellow et al. 2015). misread.png is the result, pixel for pixel"
    )
    if int(after.argmax()) == predicted:
        heading = "What does not make it err"
        text += f"; it is still taken for {inspection.names[predicted]}. --epsilon moves more."
    else:
        heading, text = "How little makes it err", f"{text}."
    return Section("adversarial", heading, text, [TileRow("", tiles)], 3)
