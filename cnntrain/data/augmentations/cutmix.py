"""CutMix: paste a rectangle of another image into each (Yun et al. 2019, arXiv:1905.04899)."""

import math
from collections.abc import Mapping

import numpy as np

from cnntrain.data.augmentations import Arrays, DeviceForm
from cnntrain.data.augmentations.ops import device
from cnntrain.data.augmentations.ops.device import Tensor
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
    share = measure_share(box, height, width)
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


def measure_share(box: tuple[int, int, int, int], height: int, width: int) -> float:
    """Return the share of an image's pixels that lies in `box`: top, bottom, left and right."""
    top, bottom, left, right = box
    return (bottom - top) * (right - left) / (height * width)


def paste_rectangle(
    images: np.ndarray, partners: np.ndarray, box: tuple[int, int, int, int]
) -> np.ndarray:
    top, bottom, left, right = box
    result = images.copy()
    result[:, top:bottom, left:right] = images[partners, top:bottom, left:right]
    return result


def on_device(*, alpha: Positive, probability: Fraction) -> DeviceForm:
    def draw_box(
        shape: tuple[int, ...], labels: np.ndarray, num_classes: int, random: np.random.Generator
    ) -> tuple[Arrays, np.ndarray]:
        count, height, width, _ = shape
        partners, box = draw(count, (height, width), random, alpha, probability)
        share = measure_share(box, height, width)
        drawn = {"partners": partners.astype(np.int32), "box": np.array(box, np.int32)}
        return drawn, mix_labels(labels, num_classes, partners, share)

    def paste_on_device(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        others = device.take_images(images, drawn["partners"])
        top, bottom, left, right = (drawn["box"][place : place + 1] for place in range(4))
        return device.cover_rectangles(images, top, bottom, left, right, others)

    return DeviceForm(draw_box, paste_on_device)
