"""CutMix: paste a rectangle of another image into each (Yun et al. 2019, arXiv:1905.04899)."""

import math

import numpy as np

from cnntrain.data.augmentations.ops.soft_labels import mix_labels
from cnntrain.spec.knobs import Fraction, Positive


def cutmix(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    alpha: Positive,
    probability: Fraction,
) -> tuple[np.ndarray, np.ndarray]:
    """Return images with a pasted rectangle, and soft labels (B, num_classes) float32.

    A batch is mixed with `probability`. All its images have the same rectangle, as in the authors'
    code. The soft labels are the shares of the pixels, after the rectangle has been clipped.
    """
    height, width = images.shape[1:3]
    partners, box = draw(len(images), (height, width), random, alpha, probability)
    top, bottom, left, right = box
    share = (bottom - top) * (right - left) / (height * width)
    return paste_rectangle(images, partners, box), mix_labels(labels, num_classes, partners, share)


def draw(
    count: int,
    shape: tuple[int, int],
    random: np.random.Generator,
    alpha: float,
    probability: float,
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Draw which image (B,) each takes the rectangle from, and its top, bottom, left and right.

    The centre of the rectangle may be any pixel. Its area before clipping is 1 - lambda of the
    image's, where lambda is drawn from Beta(alpha, alpha) (equation 2).
    """
    partners = random.permutation(count)
    side = math.sqrt(1 - random.beta(alpha, alpha))
    centre = random.integers(shape)
    if random.random() >= probability:
        return partners, (0, 0, 0, 0)
    (top, bottom), (left, right) = (
        clip_interval(int(middle), int(side * size), size)
        for middle, size in zip(centre, shape, strict=True)
    )
    return partners, (top, bottom, left, right)


def clip_interval(middle: int, length: int, size: int) -> tuple[int, int]:
    """Return the ends of an interval of `length` around `middle`, clipped to 0..`size`."""
    begin = middle - length // 2
    return max(0, begin), min(size, begin + length)


def paste_rectangle(
    images: np.ndarray, partners: np.ndarray, box: tuple[int, int, int, int]
) -> np.ndarray:
    top, bottom, left, right = box
    result = images.copy()
    result[:, top:bottom, left:right] = images[partners, top:bottom, left:right]
    return result
