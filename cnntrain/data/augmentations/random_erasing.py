"""Erase a rectangle of some of the images (Zhong et al., 2017, arXiv:1708.04896)."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from cnntrain.data.augmentations import Arrays, DeviceForm
from cnntrain.data.augmentations.ops import device
from cnntrain.data.augmentations.ops.device import Tensor
from cnntrain.spec.knobs import Fraction, Pixel, Positive

TRIES = 20  # for each image; with the paper's knobs 19 of 20 rectangles fit into a square image


def random_erasing(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    probability: Fraction,
    area: tuple[Fraction, Fraction],
    aspect: tuple[Positive, Positive],
    fill: Literal["constant", "noise", "color"],
    value: Pixel,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, each with `probability` painted over in a random rectangle.

    `area` is the range of the rectangle's share of the image, `aspect` that of its height over its
    width; both are drawn uniformly. The rectangle lies within the image, as in the authors' code.
    An image that no rectangle of TRIES fits into stays whole.
    """
    boxes = draw(images.shape[:3], random, probability, area, aspect)
    return erase_rectangles(images, *boxes, draw_fill(images.shape, random, fill, value)), labels


def draw(
    shape: tuple[int, ...],
    random: np.random.Generator,
    probability: float,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw the first row, first column, height and width of each rectangle, each (B,).

    An image that is not erased has a rectangle of height 0.
    """
    count, height, width = shape
    pixels = random.uniform(min(area), max(area), (TRIES, count)) * height * width
    aspects = random.uniform(min(aspect), max(aspect), (TRIES, count))
    tall = np.rint(np.sqrt(pixels * aspects)).astype(np.int64)
    wide = np.rint(np.sqrt(pixels / aspects)).astype(np.int64)
    fits = (tall <= height) & (wide <= width)
    first = fits.argmax(axis=0), np.arange(count)
    erased = fits[first] & (random.random(count) < probability)
    tall, wide = tall[first] * erased, wide[first] * erased
    top = random.integers(0, height - tall, endpoint=True)
    return top, random.integers(0, width - wide, endpoint=True), tall, wide


def draw_fill(
    shape: tuple[int, ...], random: np.random.Generator, fill: str, value: int
) -> np.ndarray:
    """Return what the rectangles show, as uint8 that broadcasts to the shape of the images."""
    if fill == "constant":
        return np.full((1, 1, 1, 1), value, np.uint8)
    drawn = shape if fill == "noise" else (shape[0], 1, 1, shape[3])
    return random.integers(256, size=drawn, dtype=np.uint8)


def erase_rectangles(
    images: np.ndarray,
    top: np.ndarray,
    left: np.ndarray,
    tall: np.ndarray,
    wide: np.ndarray,
    content: np.ndarray,
) -> np.ndarray:
    result, content = images.copy(), np.broadcast_to(content, images.shape)
    corners = np.stack([top, top + tall, left, left + wide], axis=1).tolist()
    for image, new, (y, bottom, x, right) in zip(result, content, corners, strict=True):
        image[y:bottom, x:right] = new[y:bottom, x:right]
    return result


def on_device(
    *,
    probability: Fraction,
    area: tuple[Fraction, Fraction],
    aspect: tuple[Positive, Positive],
    fill: Literal["constant", "noise", "color"],
    value: Pixel,
) -> DeviceForm | None:
    """Return the form that erases on the device; None if each rectangle has colours of its own."""
    if fill != "constant":
        return None

    def draw_rectangles(
        shape: tuple[int, ...], labels: np.ndarray, num_classes: int, random: np.random.Generator
    ) -> tuple[Arrays, np.ndarray]:
        top, left, tall, wide = draw(shape[:3], random, probability, area, aspect)
        sides = {"top": top, "bottom": top + tall, "left": left, "right": left + wide}
        return {name: side.astype(np.int32) for name, side in sides.items()}, labels

    def erase_on_device(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        top, bottom, left, right = (drawn[name] for name in ("top", "bottom", "left", "right"))
        return device.cover_rectangles(images, top, bottom, left, right, value)

    return DeviceForm(draw_rectangles, erase_on_device)
