"""Pad, crop at random and mirror: the CIFAR augmentation of He et al. (2015, section 4.2).

With `alternate` an image is mirrored in every second epoch (Jordan 2024, arXiv:2404.00498, 3.6).
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from cnntrain.data.augmentations import Arrays, DeviceForm
from cnntrain.data.augmentations.ops import device
from cnntrain.data.augmentations.ops.batch_generator import BatchGenerator
from cnntrain.data.augmentations.ops.crops import Border, crop_windows, mirror_images, pad_images
from cnntrain.data.augmentations.ops.device import Tensor
from cnntrain.spec.knobs import Fraction, Natural


def flip_crop(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    pad: Natural,
    flip: Fraction,
    alternate: bool,
    border: Literal["black", "reflect", "edge"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return random crops, as large as the images, from the images padded by `pad` pixels.

    The pixels are black, those of the image reflected, or its edges. `flip` is the probability
    that an image is mirrored left to right. If they `alternate`, a half that the run's seed draws
    is mirrored in the first epoch, the other half in the second, and so on; `flip` is then 0.5.
    """
    down, right, flips = draw(len(images), random, pad, flip, alternate)
    return crop_and_flip(images, down, right, flips, pad, border), labels


def draw(
    count: int, random: np.random.Generator, pad: int, flip: float, alternate: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the first row and column of each crop, and whether it is mirrored, each (B,)."""
    down, right = random.integers(0, 2 * pad, (2, count), endpoint=True)
    if alternate:
        assert isinstance(random, BatchGenerator)
        return down, right, random.half
    return down, right, random.random(count) < flip


def crop_and_flip(
    images: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    flips: np.ndarray,
    pad: int,
    border: Border,
) -> np.ndarray:
    padded = pad_images(images, pad, pad, border)
    return mirror_images(crop_windows(padded, down, right, images.shape[1:3]), flips)


def on_device(*, pad: Natural, flip: Fraction, alternate: bool, border: Border) -> DeviceForm:
    def draw_offsets(
        shape: tuple[int, ...], labels: np.ndarray, num_classes: int, random: np.random.Generator
    ) -> tuple[Arrays, np.ndarray]:
        down, right, flips = draw(shape[0], random, pad, flip, alternate)
        down, right = down.astype(np.int32) - pad, right.astype(np.int32) - pad
        return {"down": down, "right": right, "flips": flips}, labels

    def move_on_device(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        down, right, flips = (drawn[name] for name in ("down", "right", "flips"))
        return device.gather_windows(images, down, right, flips, border)

    return DeviceForm(draw_offsets, move_on_device)
