"""Photos: encoded images of any size and format, and the one way in which they are decoded."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from cnntrain.knobs import Count

Resize = Literal["stretch", "crop", "pad", "random_crop"]
Box = tuple[float, float, float, float]  # left, top, right, bottom
MODES = {1: "L", 3: "RGB"}
ORIENTATION = 0x0112  # the EXIF tag
TURNED = (5, 6, 7, 8)  # orientations in which width and height change places


@dataclass(frozen=True)
class Photos:
    """Encoded images that are read when asked for, each with a name that people know it by."""

    names: Sequence[str]
    read: Callable[[int], bytes]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Frame:
    """What a photo becomes: `size`, (height, width), `channels`, and how it is made to fit.

    `stretch` changes the aspect; `crop` takes the largest central window of the right aspect;
    `pad` shows all, between black bars; `random_crop` takes a drawn window, the central one where
    nothing is drawn.
    """

    size: tuple[Count, Count]
    channels: Literal[1, 3]
    resize: Resize

    @property
    def shape(self) -> tuple[int, int, int]:
        return *self.size, self.channels


def decode(
    content: bytes, frame: Frame, window: Callable[[int, int], Box] | None = None
) -> np.ndarray:
    """Return a photo as pixels (H, W, C) uint8, upright as its EXIF says, RGB or grey.

    `window` chooses from a width and a height the box that is shown; without it `frame` does.
    Raises what Pillow raises for a file that is no whole image.
    """
    with Image.open(io.BytesIO(content)) as image:
        turned = image.getexif().get(ORIENTATION) in TURNED
        width, height = image.size[::-1] if turned else image.size
        box, inner = framed(width, height, frame, window)
        shrunk = min((box[2] - box[0]) / inner[0], (box[3] - box[1]) / inner[1])
        if shrunk > 1:  # a JPEG decodes straight to a half, a quarter or an eighth
            image.draft(None, (int(image.size[0] / shrunk), int(image.size[1] / shrunk)))
        upright = ImageOps.exif_transpose(image)
        if upright.mode[0] in "IF":
            upright = eight_bit(upright)
        upright = upright.convert(MODES[frame.channels])
    across, down = upright.size[0] / width, upright.size[1] / height
    scaled = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    return placed(upright.resize(inner, Image.Resampling.BILINEAR, scaled), frame)


def reframe(image: np.ndarray, frame: Frame) -> np.ndarray:
    """Return pixels (h, w, c) uint8 as `frame` wants them."""
    photo = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    box, inner = framed(*photo.size, frame, None)
    photo = photo.convert(MODES[frame.channels])
    return placed(photo.resize(inner, Image.Resampling.BILINEAR, box), frame)


def framed(
    width: int, height: int, frame: Frame, window: Callable[[int, int], Box] | None
) -> tuple[Box, tuple[int, int]]:
    """The box of a photo that is shown, and the (width, height) that it gets."""
    tall, wide = frame.size
    if window is not None:
        return window(width, height), (wide, tall)
    if frame.resize == "pad":
        scale = min(wide / width, tall / height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        return (0, 0, width, height), inner
    if frame.resize == "stretch":
        return (0, 0, width, height), (wide, tall)
    scale = min(width / wide, height / tall)
    left, top = (width - wide * scale) / 2, (height - tall * scale) / 2
    return (left, top, left + wide * scale, top + tall * scale), (wide, tall)


def placed(photo: Image.Image, frame: Frame) -> np.ndarray:
    """The pixels of a photo in the middle of its frame."""
    pixels = np.asarray(photo).reshape(photo.size[1], photo.size[0], frame.channels)
    if pixels.shape == frame.shape:
        return pixels
    result = np.zeros(frame.shape, np.uint8)
    top, left = (frame.size[0] - len(pixels)) // 2, (frame.size[1] - pixels.shape[1]) // 2
    result[top : top + len(pixels), left : left + pixels.shape[1]] = pixels
    return result


def eight_bit(image: Image.Image) -> Image.Image:
    """A grey image of 16 bits as one of 8: Pillow's own conversion makes it white."""
    pixels = np.asarray(image)
    if image.mode.startswith("F") or pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"mode {image.mode}")
    return Image.fromarray((pixels // 257).astype(np.uint8))


def random_window(random: np.random.Generator) -> Callable[[int, int], Box]:
    """Return the choice of a window: 8 to 100 % of the area, aspect 3/4 to 4/3.

    Szegedy et al. (2014, section 6). The numbers are drawn now, applied to a size later; a window
    that does not fit is made as large as does.
    """
    area = random.uniform(0.08, 1)
    aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
    across, down = random.random(2)

    def window(width: int, height: int) -> Box:
        wide, tall = np.sqrt(area * width * height * np.array([aspect, 1 / aspect]))
        wide, tall = min(wide, width), min(tall, height)
        left, top = across * (width - wide), down * (height - tall)
        return left, top, left + wide, top + tall

    return window
