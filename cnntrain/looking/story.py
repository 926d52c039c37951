"""A look at one picture, from the picture to what makes the network err."""

from typing import Any

import numpy as np

from cnntrain.inference.classifier import Classifier
from cnntrain.looking.deciding import attack, where
from cnntrain.looking.exciting import chosen_place, excitement
from cnntrain.looking.filtering import filters, maps, the_picture
from cnntrain.looking.sections import Section
from cnntrain.looking.sight import Sight
from cnntrain.looking.wishes import Wishes
from cnntrain.spec.spec import Spec

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
