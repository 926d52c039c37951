"""Inspect one picture: the sections of the page, from the picture to the adversarial image."""

from typing import Any

import numpy as np

from cnntrain.training.labels.kind import SEVERAL_LABELS
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
from cnntrain.visualization.subject import Subject
from cnntrain.visualization.top_patches import build_patch_section, choose_layer_output

NO_MAPS = (
    "The network has no convolution: learnt filters, maps, training patches and Grad-CAM are left "
    "out."
)

NO_ATTACK = (
    "An image may have several labels: the adversarial image, which changes the class, is left out."
)
NO_CLASSES = (
    "The weights have no top, so that the network gives features and no classes: Grad-CAM and the "
    "adversarial image are left out."
)


def inspect_picture(
    subject: Subject, image: np.ndarray, options: InspectionOptions
) -> tuple[dict[str, Any], list[Section]]:
    """Return the facts for look.json and the sections of the page, for an image (H, W, C) uint8.

    Raises SpecError if the requested layer has no feature maps, or not the requested filter.
    """
    inspection = Inspection(subject, image, options)
    output = choose_layer_output(inspection)
    sections = [build_picture_section(image), build_filter_section(inspection)]
    if output is None:
        inspection.left_out.append(NO_MAPS)
    else:
        sections += [
            build_feature_map_section(inspection),
            build_patch_section(inspection, output),
        ]
    if not inspection.names:
        inspection.left_out.append(NO_CLASSES)
        return inspection.facts | {"left_out": inspection.left_out}, sections
    if output is not None:
        sections.append(build_grad_cam_section(inspection))
    if subject.kind is SEVERAL_LABELS:
        inspection.left_out.append(NO_ATTACK)
    else:
        sections.append(build_attack_section(inspection))
    return inspection.facts | {"left_out": inspection.left_out}, sections
