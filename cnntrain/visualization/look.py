"""A look at one picture, from the picture to what makes the network err."""

from typing import Any

import numpy as np

from cnntrain.inference.classifier import Classifier
from cnntrain.spec.spec import Spec
from cnntrain.visualization.attack import attack
from cnntrain.visualization.filters import filters, maps, the_picture
from cnntrain.visualization.grad_cam import where
from cnntrain.visualization.inspection import Sight
from cnntrain.visualization.options import Wishes
from cnntrain.visualization.sections import Section
from cnntrain.visualization.top_patches import chosen_place, excitement

NO_MAPS = (
    "The network has no convolution: learnt filters, maps, training patches and Grad-CAM are left "
    "out."
)


def look(
    classifier: Classifier, asked: Spec, image: np.ndarray, wishes: Wishes
) -> tuple[dict[str, Any], list[Section]]:
    """Return the facts, and the sections of the page.

    Raises SpecError for a layer without maps and a filter that it has not.
    """
    one = Sight(classifier, asked, image, wishes)
    chosen = chosen_place(one)
    sections = [the_picture(image), filters(one)]
    if chosen is None:
        one.left_out.append(NO_MAPS)
    else:
        sections += [maps(one), excitement(one, chosen), where(one)]
    sections.append(attack(one))
    return one.facts | {"left_out": one.left_out}, sections
