"""Convert images of any mode to 8-bit RGB or grey: deep values, palettes, inks, transparency."""

import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

Span = tuple[float, float]  # the least and the greatest value
ValueRange = Span | Literal["auto"] | None  # what becomes black and white; None: SIXTEEN_BITS
SIXTEEN_BITS: Span = (0, 65535)
# Pillow keeps the upper byte of a 16-bit colour value. Read in the other byte order, it keeps the
# lower byte. Grey with alpha has no other order, but the four bytes of a pixel can be read as RGBA.
OTHER_BYTE_ORDER = {"B": "L", "L": "B", "N": "B"}
GREY_ALPHA = "LA;16B"
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = (
    258,
    262,
    339,
)  # tags of a TIFF; with a PHOTOMETRIC of 0 the value 0 is white


class PlainImage(NamedTuple):
    """An 8-bit image in RGB or grey, and what its conversion lost.

    `transparent` says whether white shows through. `span` is the least and the greatest value of an
    image of more than 8 bits, or None.
    """

    image: Image.Image
    transparent: bool
    span: Span | None


def convert_mode(
    content: bytes, image: Image.Image, raw_mode: str, mode: str, value_range: Span | None
) -> PlainImage:
    """Return an opened `image` in `mode`, "RGB" or "L", laid on white where it is transparent.

    `content` is the file of the image, and `raw_mode` names the layout of its bytes, which Pillow
    forgets once it has read them. A value of more than 8 bits becomes
    (value - low) / (high - low) * 255, rounded down; (low, high) is `value_range`, or (0, 65535) if
    that is None. Raises ValueError for nan, and without `value_range` for values beyond 16 bits.
    """
    values, span = read_high_bit_values(content, image, raw_mode), None
    if values is not None:
        span, alpha = find_span(values), read_alpha(image, values)
        image = Image.fromarray(scale_to_bytes(values, span, value_range))
        if alpha is not None:
            image = image.convert("RGBA")
            image.putalpha(alpha)
    if image.mode == "LAB":  # Pillow cannot convert it to grey directly
        image = image.convert("RGB")
    transparent = image.has_transparency_data
    if transparent:
        image, transparent = lay_on_white(image.convert("RGBA"))
    return PlainImage(image if image.mode == mode else image.convert(mode), transparent, span)


def is_grey(image: Image.Image) -> bool:
    """Return whether an image has no colour by its mode: 1, L, LA, I or F of any depth."""
    return image.mode[0] in "1LIF" and image.mode != "LAB"


def has_high_bit_depth(image: Image.Image, raw_mode: str) -> bool:
    """Return whether an image has values of more than 8 bits that matter.

    Of CMYK inks the upper 8 bits are enough.
    """
    return image.mode[0] in "IF" or (";16" in raw_mode and image.mode != "CMYK")


def read_sixteen_bit_span(content: bytes, image: Image.Image) -> Span | None:
    """Return the least and the greatest value of an image whose pixels Pillow has not read yet.

    Returns None unless the values are whole numbers of 16 bits.
    """
    values = read_high_bit_values(content, image, read_raw_mode(image))
    return find_span(values) if values is not None and fits_sixteen_bits(values) else None


def fits_sixteen_bits(values: np.ndarray) -> bool:
    """Return whether values are whole numbers from 0 to 65535."""
    low, high = SIXTEEN_BITS
    return bool(
        np.issubdtype(values.dtype, np.integer) and values.min() >= low and values.max() <= high
    )


def choose_bit_range(greatest: float) -> Span:
    """Return (0, 2**bits - 1) with the bits that `greatest` needs, which are at least 8."""
    return 0, 2.0 ** max(8, int(greatest).bit_length()) - 1


def lay_on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an RGBA image as RGB on white, and whether the white shows anywhere."""
    if image.getchannel("A").getextrema()[0] == 255:
        return image.convert("RGB"), False
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB"), True


def read_high_bit_values(content: bytes, image: Image.Image, raw_mode: str) -> np.ndarray | None:
    """Return the values (H, W) or (H, W, 3) of an image of more than 8 bits, else None."""
    check_samples(image, raw_mode)
    if image.mode[0] in "IF":  # grey: I;16, I, F
        return read_grey_values(image)
    if not has_high_bit_depth(image, raw_mode):
        return None
    if raw_mode == GREY_ALPHA:
        pairs = decode_raw(content, "RGBA").astype(np.uint16)
        return pairs[..., 0] << 8 | pairs[..., 1]
    upper = np.asarray(image)[..., :3].astype(np.uint16)
    lower = decode_raw(content, raw_mode[:-1] + OTHER_BYTE_ORDER[raw_mode[-1]])[..., :3]
    return upper << 8 | lower


def check_samples(image: Image.Image, raw_mode: str) -> None:
    """Raise ValueError for TIFFs whose values Pillow silently misreads.

    These have signed bytes, or 16 bits with each channel in a plane of its own.
    """
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    bits, kinds = max(tags.get(BITS_PER_SAMPLE, (1,))), tags.get(SAMPLE_FORMAT, (1,))
    if bits == 8 and 2 in kinds:
        raise ValueError("its values are signed bytes, which are not supported")
    if bits > 8 and raw_mode in ("R", "G", "B", "A"):
        raise ValueError(f"its channels of {bits} bits lie in planes, which is not supported")


def read_grey_values(image: Image.Image) -> np.ndarray:
    """Return the values (H, W) of a grey image of more than 8 bits, greater where it is lighter.

    Pillow does not invert a TIFF in which 0 is white, as X-rays have it; this function does.
    """
    values = np.asarray(image)
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    return np.invert(values) if image.mode == "I;16" and tags.get(PHOTOMETRIC) == 0 else values


def read_alpha(image: Image.Image, values: np.ndarray) -> Image.Image | None:
    """Return the opacity of an image of more than 8 bits, or None if it is opaque.

    A PNG may name one of its `values` as transparent instead of having an alpha channel.
    """
    if image.mode == "RGBA":
        return image.getchannel("A")
    if (clear := image.info.get("transparency")) is None:
        return None
    differs = values != np.array(clear)
    return Image.fromarray(
        255 * (differs if values.ndim == 2 else differs.any(-1)).astype(np.uint8)
    )


def decode_raw(content: bytes, raw_mode: str) -> np.ndarray:
    """Return the pixels (H, W, C) uint8 of a file whose bytes are read as `raw_mode`."""
    with Image.open(io.BytesIO(content)) as image:
        assert isinstance(image, ImageFile)
        image.tile = [
            tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple)
                          else raw_mode)
            for tile in image.tile
        ]  # fmt: skip
        return np.asarray(image)


def read_raw_mode(image: Image.Image) -> str:
    """Return Pillow's name for the byte layout of an image whose pixels are not read yet."""
    args = image.tile[0].args if isinstance(image, ImageFile) and image.tile else None
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def find_span(values: np.ndarray) -> Span:
    """Return the least and the greatest value; raise ValueError if one is not finite."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("some of its values are no numbers")
    return low, high


def scale_to_bytes(values: np.ndarray, span: Span, value_range: Span | None) -> np.ndarray:
    """Return values as uint8, so that the range's low end becomes 0 and its high end 255.

    Values outside the range become 0 or 255. Raises ValueError if `value_range` is None and the
    values do not fit into 16 bits.
    """
    if value_range is None and not fits_sixteen_bits(values):
        raise ValueError(
            f"its pixels have 32 bits, from {span[0]:,g} to {span[1]:,g}; "
            "dataset.value_range=[LOW,HIGH] says which values are black and white"
        )
    low, high = value_range or SIXTEEN_BITS
    levels = np.floor((values.astype(np.float64) - low) * 255 / (high - low))
    return np.clip(levels, 0, 255).astype(np.uint8)
