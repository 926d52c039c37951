"""Decode one photo, of any size and format, into the pixels of a frame."""

import functools
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from cnntrain.data.photos.modes import Span, ValueRange, convert_mode, read_raw_mode
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.photos.records import RecordReader
from cnntrain.spec.knobs import Count

Resize = Literal["stretch", "crop", "pad", "random_crop"]
Box = tuple[float, float, float, float]  # left, top, right, bottom
ChooseBox = Callable[[int, int], Box]  # takes a width and a height, returns the box to show
MODES = {1: "L", 3: "RGB"}
JPEG_START = b"\xff\xd8"  # how every JPEG begins
LARGEST_JPEG = 2**28  # pixels to decode at most; Pillow has its own limit for other formats
JPEG_REDUCTIONS = (8, 4, 2, 1)  # a JPEG can be decoded straight to an eighth, a quarter or a half
MIN_OVERSAMPLING = 2  # decode at least this many times the final size: the filter averages the rest
ORIENTATION = 0x0112  # the EXIF tag: how the camera was held
# What makes each orientation upright: swap the axes, then flip vertically, then horizontally.
TURNS = {
    1: (False, False, False), 2: (False, False, True),
    3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True),
    7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


@dataclass(frozen=True)
class Photos:
    """Encoded images, each read by its row when needed, with the names that people know them by."""

    names: Sequence[str]
    read: Callable[[int], bytes]

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, rows: Sequence[int]) -> "Photos":
        """Return these photos only; files and records can be sent to another process."""
        names, read = [self.names[row] for row in rows], self.read
        if isinstance(read, FileReader | RecordReader):
            return Photos(names, read.pick(rows))
        return Photos(names, lambda place: read(rows[place]))


@dataclass(frozen=True)
class Frame:
    """The image that every photo becomes: its `size` (height, width) and `channels`.

    `resize` says how a photo of another aspect ratio is made to fit: `stretch` changes the ratio;
    `crop` takes the largest central box of the right ratio; `pad` shows all of it, between black
    bars; `random_crop` takes a random box in training, elsewhere the central one. `value_range`
    says which values of 16 and 32 bits become black and white (see `convert_mode`); `auto` is
    settled from all photos of a data set before the first is decoded.
    """

    size: tuple[Count, Count]
    channels: Literal[1, 3]
    resize: Resize
    value_range: ValueRange

    @property
    def shape(self) -> tuple[int, int, int]:
        return *self.size, self.channels


class Header(NamedTuple):
    """The size of a photo as it is stored, and its EXIF orientation."""

    width: int
    height: int
    orientation: int


class PhotoView(NamedTuple):
    """The part of a stored photo that is shown, and the (width, height) it is resized to."""

    box: Box
    resized: tuple[int, int]

    @property
    def reduction(self) -> int:
        """The largest of JPEG_REDUCTIONS that leaves MIN_OVERSAMPLING times the size needed."""
        left, top, right, bottom = self.box
        shrunk = min((right - left) / self.resized[0], (bottom - top) / self.resized[1])
        return next((n for n in JPEG_REDUCTIONS if shrunk >= MIN_OVERSAMPLING * n), 1)

    def reduce_box(self, reduction: int, size: tuple[int, int]) -> Box:
        """Return the box within the photo that was decoded reduced, to that `size`."""
        left, top, right, bottom = (edge / reduction for edge in self.box)
        return left, top, min(right, size[0]), min(bottom, size[1])  # rounding may exceed it


class DecodedPhoto(NamedTuple):
    """A photo as pixels (H, W, C) uint8, and what people should know of it.

    `shown` (h, w, C) is what of the pixels is the photo. `transparent` says whether white shows
    through it. `span` is the least and the greatest value if they have more than 8 bits, else None.
    """

    pixels: np.ndarray
    shown: np.ndarray
    transparent: bool
    span: Span | None

    @property
    def uniform(self) -> bool:
        """Whether it has only one colour."""
        return is_uniform(self.shown)


def decode_photo(content: bytes, frame: Frame, choose_box: ChooseBox | None = None) -> DecodedPhoto:
    """Return a photo decoded into `frame`, turned upright as its EXIF says and laid on white.

    A JPEG is decoded straight to an eighth, a quarter or a half of its size if that is at least
    twice as large as needed. Pillow's antialiased bilinear filter resizes from there, so that a
    picture has nearly the same pixels in every format, and the same where no JPEG is reduced.
    `choose_box` returns the box to show for a width and a height; without it `frame` decides. An
    animation shows its first picture.
    Raises ValueError, or whatever Pillow raises, for a file that is not a whole image.
    """
    assert frame.value_range != "auto"
    with open_image(content) as image:
        raw_mode = read_raw_mode(image)
        if image.format not in ("JPEG", "MPO"):
            image.load()  # some formats keep their EXIF at the end, and TIFF turns itself
        header = read_header(image)
        view = find_view(header, frame, choose_box)
        smaller = header.width // view.reduction, header.height // view.reduction
        reduction = view.reduction if image.draft(None, smaller) else 1
        check_pixels(image, header)
        plain = convert_mode(content, image, raw_mode, MODES[frame.channels], frame.value_range)
        box = view.reduce_box(reduction, plain.image.size)
        small = plain.image.resize(view.resized, Image.Resampling.BILINEAR, box)
    pixels = read_pixels(small, frame.channels)
    placed = center_in_frame(turn_upright(pixels, header.orientation), frame)
    return DecodedPhoto(placed, pixels, plain.transparent, plain.span)


# ISO 23008-12, annex B: how a photo of an iPhone begins.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def open_image(content: bytes) -> Image.Image:
    """Return an image of which only the header has been read.

    Raises ValueError for an empty file, and what Pillow raises for a file that is no image or is so
    large that it may be a decompression bomb. A JPEG may have any size, because it is decoded
    reduced (see `check_pixels`).
    """
    silence_pillow()
    if not content:
        raise ValueError("it is empty")
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        if content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS:
            raise ValueError("HEIC is not read: convert it to JPEG") from None
        raise
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


def check_pixels(image: Image.Image, header: Header) -> None:
    """Raise ValueError for a JPEG of which more than LARGEST_JPEG pixels would be decoded at once.

    A progressive JPEG is always held whole in memory, however small the result is.
    """
    is_whole = bool(image.info.get("progressive"))
    count = header.width * header.height if is_whole else image.width * image.height
    if count > LARGEST_JPEG:
        raise ValueError(
            f"{count / 1e6:,.0f} megapixels would be decoded, more than the limit of "
            f"{LARGEST_JPEG / 1e6:,.0f}"
        )


def read_header(image: Image.Image) -> Header:
    """Return the size and orientation of an image; damaged metadata counts as upright."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # the pixels may be whole even so
        orientation = None
    return Header(*image.size, orientation if orientation in TURNS else 1)


def find_upright_size(header: Header) -> tuple[int, int]:
    """Return the (height, width) of a photo as the camera saw it."""
    swapped = TURNS[header.orientation][0]
    return (header.width, header.height) if swapped else (header.height, header.width)


def reframe_image(image: np.ndarray, frame: Frame) -> np.ndarray:
    """Return pixels (h, w, c) uint8 resized into `frame`, as (H, W, C) uint8."""
    photo = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    box, resized = fit_to_frame(*photo.size, frame)
    photo = photo.convert(MODES[frame.channels])
    small = photo.resize(resized, Image.Resampling.BILINEAR, box)
    return center_in_frame(read_pixels(small, frame.channels), frame)


def find_view(header: Header, frame: Frame, choose_box: ChooseBox | None = None) -> PhotoView:
    """Return the part of a stored photo to show, and the size to resize it to.

    `choose_box`, or without it `frame`, chooses the part from the photo once it is upright.
    """
    swapped, upside_down, mirrored = TURNS[header.orientation]
    height, width = find_upright_size(header)
    if choose_box is not None:
        (left, top, right, bottom), resized = choose_box(width, height), frame.size[::-1]
    else:
        (left, top, right, bottom), resized = fit_to_frame(width, height, frame)
    if mirrored:
        left, right = width - right, width - left
    if upside_down:
        top, bottom = height - bottom, height - top
    if swapped:
        return PhotoView((top, left, bottom, right), resized[::-1])
    return PhotoView((left, top, right, bottom), resized)


def fit_to_frame(width: int, height: int, frame: Frame) -> tuple[Box, tuple[int, int]]:
    """Return the box of an upright photo to show, and the (width, height) to resize it to."""
    tall, wide = frame.size
    if frame.resize == "pad":
        scale = min(wide / width, tall / height)
        resized = max(1, round(width * scale)), max(1, round(height * scale))
        return (0, 0, width, height), resized
    if frame.resize == "stretch":
        return (0, 0, width, height), (wide, tall)
    scale = min(width / wide, height / tall)
    left, top = max(0.0, (width - wide * scale) / 2), max(0.0, (height - tall * scale) / 2)
    right, bottom = min(width, left + wide * scale), min(height, top + tall * scale)
    return (left, top, right, bottom), (wide, tall)  # within the photo, in spite of rounding


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return stored pixels (h, w, c) as the camera saw them."""
    swapped, upside_down, mirrored = TURNS[orientation]
    turned = image.swapaxes(0, 1) if swapped else image
    return turned[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def center_in_frame(image: np.ndarray, frame: Frame) -> np.ndarray:
    """Return pixels (h, w, C) placed in the middle of a black frame (H, W, C)."""
    if image.shape == frame.shape:
        return image
    result = np.zeros(frame.shape, np.uint8)
    top, left = (frame.size[0] - len(image)) // 2, (frame.size[1] - image.shape[1]) // 2
    result[top : top + len(image), left : left + image.shape[1]] = image
    return result


def is_uniform(image: np.ndarray) -> bool:
    """Return whether pixels (h, w, c) all have one colour.

    The first row is compared first, because it settles the question for nearly every photo.
    """
    return bool((image[0] == image[0, 0]).all() and (image == image[0, 0]).all())


def read_pixels(image: Image.Image, channels: int) -> np.ndarray:
    """Return the pixels of a grey or RGB image as (H, W, C) uint8."""
    return np.asarray(image).reshape(image.size[1], image.size[0], channels)


@dataclass(frozen=True)
class CropBox:
    """A random box, drawn before the photo's size is known: see `draw_crop_box`."""

    area: float
    aspect: float
    across: float
    down: float

    def __call__(self, width: int, height: int) -> Box:
        """Return the box in a photo; one that does not fit is cut to its width or height."""
        aspects = np.array([self.aspect, 1 / self.aspect])
        wide, tall = np.sqrt(self.area * width * height * aspects)
        wide, tall = min(wide, width), min(tall, height)
        left, top = self.across * (width - wide), self.down * (height - tall)
        return left, top, left + wide, top + tall


def draw_crop_box(random: np.random.Generator) -> CropBox:
    """Return a random box: 8 to 100 % of the area, its aspect ratio from 3/4 to 4/3.

    Szegedy et al. (2014, section 6).
    """
    area = random.uniform(0.08, 1)
    aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
    return CropBox(area, aspect, *random.random(2))
