"""Colour jitter: brightness, contrast, saturation and hue (Howard, 2013, arXiv:1312.5402)."""

import numpy as np

from cnntrain.data.augmentations.ops.photometry import distort_colours, draw
from cnntrain.spec.knobs import Fraction


def color(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    brightness: Fraction,
    contrast: Fraction,
    saturation: Fraction,
    hue: Fraction,
) -> tuple[np.ndarray, np.ndarray]:
    """Return images whose brightness, contrast, saturation and hue are changed in random order.

    Each knob is the largest change either way; `hue` is a share of the full turn. Images of one
    channel change only in brightness and contrast.
    """
    changes, order = draw(len(images), random, (brightness, contrast, saturation, hue))
    return distort_colours(images, changes, order), labels
