"""Photos: encoded images of any size and format, what they say of themselves, and their pixels."""

import functools
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

from cnntrain.data.photos.modes import Span, ValueRange, convert_mode, read_raw_mode
from cnntrain.spec.knobs import Count

Resize = Literal["stretch", "crop", "pad", "random_crop"]
Box = tuple[float, float, float, float]  # left, top, right, bottom
Window = Callable[[int, int], Box]  # from a width and a height, the part that is shown
MODES = {1: "L", 3: "RGB"}
JPEG_START = b"\xff\xd8"  # how every JPEG begins
LARGEST_JPEG = 2**28  # pixels that are decoded; of other formats Pillow has a limit
SCALES = (8, 4, 2, 1)  # a JPEG can be decoded straight to an eighth, a quarter or a half
SPARE = 2  # times the wanted size that is decoded at least, for the filter to choose from
ORIENTATION = 0x0112  # the EXIF tag: how the camera was held
# What makes each orientation upright: swap the axes, then mirror up-down, then left-right.
TURNS = {
    1: (False, False, False), 2: (False, False, True),
    3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True),
    7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


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

    `value_range` says which values of 16 and 32 bits become black and white: see `modes.convert`;
    `auto` is settled by all photos of a data set before the first is decoded.
    `stretch` changes the aspect; `crop` takes the largest central window of the right aspect;
    `pad` shows all, between black bars; `random_crop` takes a drawn window, the central one where
    nothing is drawn.
    """

    size: tuple[Count, Count]
    channels: Literal[1, 3]
    resize: Resize
    value_range: ValueRange

    @property
    def shape(self) -> tuple[int, int, int]:
        return *self.size, self.channels


class Header(NamedTuple):
    """The size of a photo as it is stored, and its orientation."""

    width: int
    height: int
    orientation: int


class PhotoView(NamedTuple):
    """The part of a photo that is shown, as it is stored, and the (width, height) it gets."""

    box: Box
    inner: tuple[int, int]

    @property
    def scale(self) -> int:
        """The largest of SCALES that leaves SPARE times the pixels that are wanted."""
        left, top, right, bottom = self.box
        shrunk = min((right - left) / self.inner[0], (bottom - top) / self.inner[1])
        return next((scale for scale in SCALES if shrunk >= SPARE * scale), 1)

    def scale_box(self, scale: int, size: tuple[int, int]) -> Box:
        """The box in the photo decoded at a `scale`, which has made it of that size."""
        left, top, right, bottom = (edge / scale for edge in self.box)
        return left, top, min(right, size[0]), min(bottom, size[1])  # rounding may exceed it


class DecodedPhoto(NamedTuple):
    """A photo as pixels (H, W, C) uint8, and what people should know of it.

    `transparent` says whether white shows through it, `uniform` whether it is of one colour, and
    `span` which values it has, if these have more than 8 bits.
    """

    pixels: np.ndarray
    transparent: bool
    uniform: bool
    span: Span | None


def decode_photo(content: bytes, frame: Frame, window: Window | None = None) -> DecodedPhoto:
    """Return a photo as `frame` wants it, upright as its EXIF says, laid on white.

    A JPEG is decoded straight to the eighth, quarter or half that is still twice as large as what
    is wanted, and everything is resized from there by Pillow's antialiased bilinear filter: the
    same picture has the same pixels in every format. `window` chooses from a width and a height
    the box that is shown; without it `frame` does. Of an animation it is the first picture.
    Raises ValueError and whatever Pillow raises for a file that is no whole image.
    """
    assert frame.value_range != "auto"
    with open_image(content) as image:
        raw_mode = read_raw_mode(image)
        if image.format not in ("JPEG", "MPO"):
            image.load()  # some formats keep their EXIF at the end, and TIFF turns itself
        known = read_header(image)
        shown = find_view(known, frame, window)
        smaller = known.width // shown.scale, known.height // shown.scale
        scale = shown.scale if image.draft(None, smaller) else 1
        check_pixels(image, known)
        plain = convert_mode(content, image, raw_mode, MODES[frame.channels], frame.value_range)
        box = shown.scale_box(scale, plain.image.size)
        small = plain.image.resize(shown.inner, Image.Resampling.BILINEAR, box)
    found = read_pixels(small, frame.channels)
    placed = center_in_frame(turn_upright(found, known.orientation), frame)
    return DecodedPhoto(placed, plain.transparent, is_uniform(found), plain.span)


def open_image(content: bytes) -> Image.Image:
    """Return an image of which only the header is read.

    Raises what Pillow raises for no image, and for one so large that it may be a bomb; a JPEG may
    be as large as it likes, because it is decoded reduced: see `check_pixels`.
    """
    silence_pillow()
    if not content:
        raise ValueError("it is empty")
    try:
        return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError:
        if not content.startswith(JPEG_START):
            raise
        return JpegImagePlugin.JpegImageFile(io.BytesIO(content))


@functools.cache
def silence_pillow() -> None:
    """Ignore Pillow's warnings, from the first photo of a process on.

    It warns of damaged metadata, which no pixel depends on, and of images of half the size that it
    refuses. `warnings.catch_warnings` would be no use: photos are decoded by many threads, and it
    is not safe with threads.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def check_pixels(image: Image.Image, known: Header) -> None:
    """Refuse a JPEG of more pixels than are decoded at once.

    A progressive one is held whole in memory, however small it is wanted.
    """
    is_whole = bool(image.info.get("progressive"))
    count = known.width * known.height if is_whole else image.width * image.height
    if count > LARGEST_JPEG:
        raise ValueError(
            f"{count / 1e6:,.0f} megapixels would be decoded, more than the limit of "
            f"{LARGEST_JPEG / 1e6:,.0f}"
        )


def read_header(image: Image.Image) -> Header:
    """Return the size and the orientation of an image; damaged metadata has none."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # the pixels may be whole
        orientation = None
    return Header(*image.size, orientation if orientation in TURNS else 1)


def find_upright_size(known: Header) -> tuple[int, int]:
    """Return the height and width of a photo as the camera saw it."""
    swapped = TURNS[known.orientation][0]
    return (known.width, known.height) if swapped else (known.height, known.width)


def reframe_image(image: np.ndarray, frame: Frame) -> np.ndarray:
    """Return pixels (h, w, c) uint8 as `frame` wants them."""
    photo = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    box, inner = fit_to_frame(*photo.size, frame)
    photo = photo.convert(MODES[frame.channels])
    small = photo.resize(inner, Image.Resampling.BILINEAR, box)
    return center_in_frame(read_pixels(small, frame.channels), frame)


def find_view(known: Header, frame: Frame, window: Window | None = None) -> PhotoView:
    """Return which part of a stored photo `frame` or `window` shows once it is upright."""
    swapped, upside_down, mirrored = TURNS[known.orientation]
    height, width = find_upright_size(known)
    if window is not None:
        (left, top, right, bottom), inner = window(width, height), frame.size[::-1]
    else:
        (left, top, right, bottom), inner = fit_to_frame(width, height, frame)
    if mirrored:
        left, right = width - right, width - left
    if upside_down:
        top, bottom = height - bottom, height - top
    if swapped:
        return PhotoView((top, left, bottom, right), inner[::-1])
    return PhotoView((left, top, right, bottom), inner)


def fit_to_frame(width: int, height: int, frame: Frame) -> tuple[Box, tuple[int, int]]:
    """The box of an upright photo that is shown, and the (width, height) that it gets."""
    tall, wide = frame.size
    if frame.resize == "pad":
        scale = min(wide / width, tall / height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        return (0, 0, width, height), inner
    if frame.resize == "stretch":
        return (0, 0, width, height), (wide, tall)
    scale = min(width / wide, height / tall)
    left, top = (width - wide * scale) / 2, (height - tall * scale) / 2
    return (left, top, left + wide * scale, top + tall * scale), (wide, tall)


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return stored pixels (h, w, c) as the camera saw them."""
    swapped, upside_down, mirrored = TURNS[orientation]
    turned = image.swapaxes(0, 1) if swapped else image
    return turned[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def center_in_frame(image: np.ndarray, frame: Frame) -> np.ndarray:
    """The pixels of a photo in the middle of its frame."""
    if image.shape == frame.shape:
        return image
    result = np.zeros(frame.shape, np.uint8)
    top, left = (frame.size[0] - len(image)) // 2, (frame.size[1] - image.shape[1]) // 2
    result[top : top + len(image), left : left + image.shape[1]] = image
    return result


def is_uniform(image: np.ndarray) -> bool:
    """Whether pixels (h, w, c) are all of one colour; of nearly every photo a row says no."""
    return bool((image[0] == image[0, 0]).all() and (image == image[0, 0]).all())


def read_pixels(image: Image.Image, channels: int) -> np.ndarray:
    """Return an image in grey or RGB as (H, W, C) uint8."""
    return np.asarray(image).reshape(image.size[1], image.size[0], channels)


def draw_window(random: np.random.Generator) -> Window:
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
