"""Cutout: cover a square of every image (DeVries & Taylor, 2017, arXiv:1708.04552)."""

from collections.abc import Mapping

import numpy as np

from cnntrain.data.augmentations import Arrays, DeviceForm
from cnntrain.data.augmentations.ops import device
from cnntrain.data.augmentations.ops.device import Tensor
from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count, Pixel


def cutout(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    size: Count,
    fill: Pixel,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, each with a square of `size` pixels a side in the grey level `fill`.

    The centre of the square may be any pixel, so that it may hang over the edge (section 3.2).
    Raises SpecError if the square is larger than the images.
    """
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise SpecError(
            f"the size of cutout is {size} and the images are {height}x{width}",
            f"at most {min(height, width)} pixels, a quarter to a half of it in the paper",
        )
    return cut_squares(images, *draw(len(images), (height, width), random), size, fill), labels


def draw(
    count: int, shape: tuple[int, int], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the row and the column of each square's centre, each (B,)."""
    return random.integers(shape[0], size=count), random.integers(shape[1], size=count)


def cut_squares(
    images: np.ndarray, y: np.ndarray, x: np.ndarray, size: int, fill: int
) -> np.ndarray:
    result = images.copy()
    corners = zip((y - size // 2).tolist(), (x - size // 2).tolist(), strict=True)
    for image, (top, left) in zip(result, corners, strict=True):
        image[max(0, top) : top + size, max(0, left) : left + size] = fill
    return result


def on_device(*, size: Count, fill: Pixel) -> DeviceForm:
    def draw_corners(
        shape: tuple[int, ...], labels: np.ndarray, num_classes: int, random: np.random.Generator
    ) -> tuple[Arrays, np.ndarray]:
        y, x = draw(shape[0], (shape[1], shape[2]), random)
        top, left = y.astype(np.int32) - size // 2, x.astype(np.int32) - size // 2
        return {"top": top, "left": left}, labels

    def cut_squares_on_device(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        top, left = drawn["top"], drawn["left"]
        return device.cover_rectangles(images, top, top + size, left, left + size, fill)

    return DeviceForm(draw_corners, cut_squares_on_device)
