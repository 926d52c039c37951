"""Shift by whole pixels and mirror: the augmentation of the Keras CIFAR-10 ResNet example."""

from collections.abc import Mapping

import numpy as np

from cnntrain.data.augmentations import Arrays, DeviceForm
from cnntrain.data.augmentations.ops import device
from cnntrain.data.augmentations.ops.crops import crop_windows, mirror_images, pad_images
from cnntrain.data.augmentations.ops.device import Tensor
from cnntrain.spec.knobs import Fraction


def shift_flip(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    shift: Fraction,
    flip: Fraction,
) -> tuple[np.ndarray, np.ndarray]:
    """Return images shifted by up to `shift` of their size, with their edge pixels repeated.

    `flip` is the probability that an image is mirrored left to right.
    """
    tall, wide = count_pixels(images.shape, shift)
    down, right, flips = draw(len(images), random, tall, wide, flip)
    return move_and_flip(images, down, right, flips, tall, wide), labels


def count_pixels(shape: tuple[int, ...], shift: float) -> tuple[int, int]:
    """Return the longest shift down and right of images of `shape` (B, H, W, C), in pixels."""
    return round(shift * shape[1]), round(shift * shape[2])


def draw(
    count: int, random: np.random.Generator, tall: int, wide: int, flip: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw each image's shift down and right in pixels, and whether it is mirrored, each (B,)."""
    down = random.integers(-tall, tall, count, endpoint=True)
    right = random.integers(-wide, wide, count, endpoint=True)
    return down, right, random.random(count) < flip


def move_and_flip(
    images: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    flips: np.ndarray,
    tall: int,
    wide: int,
) -> np.ndarray:
    padded = pad_images(images, tall, wide, "edge")
    return mirror_images(crop_windows(padded, tall - down, wide - right, images.shape[1:3]), flips)


def on_device(*, shift: Fraction, flip: Fraction) -> DeviceForm:
    def draw_offsets(
        shape: tuple[int, ...], labels: np.ndarray, num_classes: int, random: np.random.Generator
    ) -> tuple[Arrays, np.ndarray]:
        down, right, flips = draw(shape[0], random, *count_pixels(shape, shift), flip)
        down, right = -down.astype(np.int32), -right.astype(np.int32)
        return {"down": down, "right": right, "flips": flips}, labels

    def move_on_device(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        down, right, flips = (drawn[name] for name in ("down", "right", "flips"))
        return device.gather_windows(images, down, right, flips, "edge")

    return DeviceForm(draw_offsets, move_on_device)
