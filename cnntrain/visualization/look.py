"""A look at one picture, from the picture to what makes the network err."""

from typing import Any

import numpy as np

from cnntrain.inference.classifier import Classifier
from cnntrain.spec.spec import Spec
from cnntrain.visualization.attack import build_attack_section
from cnntrain.visualization.filters import (
    build_feature_map_section,
    build_filter_section,
    build_picture_section,
)
from cnntrain.visualization.grad_cam import build_grad_cam_section
from cnntrain.visualization.inspection import Inspection
from cnntrain.visualization.options import InspectionOptions
from cnntrain.visualization.sections import Section
from cnntrain.visualization.top_patches import build_patch_section, choose_layer_output

NO_MAPS = (
    "The network has no convolution: learnt filters, maps, training patches and Grad-CAM are left "
    "out."
)


def inspect_picture(
    classifier: Classifier, asked: Spec, image: np.ndarray, wishes: InspectionOptions
) -> tuple[dict[str, Any], list[Section]]:
    """Return the facts, and the sections of the page.

    Raises SpecError for a layer without maps and a filter that it has not.
    """
    one = Inspection(classifier, asked, image, wishes)
    chosen = choose_layer_output(one)
    sections = [build_picture_section(image), build_filter_section(one)]
    if chosen is None:
        one.left_out.append(NO_MAPS)
    else:
        sections += [
            build_feature_map_section(one),
            build_patch_section(one, chosen),
            build_grad_cam_section(one),
        ]
    sections.append(build_attack_section(one))
    return one.facts | {"left_out": one.left_out}, sections
