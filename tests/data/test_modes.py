"""Images of every mode: no shade is lost silently, and transparent parts become white."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cnntrain.data.photos.decode import find_common_shape, try_to_decode
from cnntrain.data.photos.photo import Frame, Photos
from helpers import odd

SIZE = (5, 7)
TWELVE_BITS = (0, 4095)
COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}  # of PNG, by the number of channels


def decoded(content, channels=3, value_range=None, size=SIZE):
    return try_to_decode(content, Frame(size, channels, "stretch", value_range))


def deep_png(values: np.ndarray, clear: tuple[int, ...] = ()) -> bytes:
    """Return values (H, W, C) uint16 as a 16-bit PNG; Pillow writes only grey ones."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    key = [(b"tRNS", struct.pack(f">{len(clear)}H", *clear))] * bool(clear)
    chunks = [(b"IHDR", header), *key, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def deep_tiff(values: np.ndarray, order: str, meaning: int = 2, planes: int = 1) -> bytes:
    """Return values (H, W, C) uint16 as a TIFF with byte order "<" or ">".

    `meaning` is 0 for white at 0, 2 for RGB, 5 for inks; `planes` is 2 for separate channels.
    """
    height, width, channels = values.shape
    data = (values if planes == 1 else np.moveaxis(values, -1, 0)).astype(f"{order}u2").tobytes()
    bits = struct.pack(f"{order}{channels}H", *[16] * channels).ljust(4, b"\0")
    end = 8 + len(data)
    tags = [(256, width), (257, height), (258, 16 if channels == 1 else end), (259, 1),
            (262, meaning), (273, 8), (277, channels), (278, height), (279, len(data)),
            (284, planes)]  # fmt: skip
    entries = b"".join(
        struct.pack(
            f"{order}HHII", tag, 3 if tag == 258 else 4, channels if tag == 258 else 1, value
        )
        for tag, value in tags
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", end + len(bits))
    return start + data + bits + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def shades(channels: int) -> np.ndarray:
    """Return different 12-bit values (H, W, C) uint16, opaque if there is an alpha channel."""
    values = np.random.default_rng(0).integers(0, 4096, (*SIZE, channels)).astype(np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65535
    return values


DEEP = {
    "grey.png": (deep_png(shades(1)), shades(1)),
    "grey_alpha.png": (deep_png(shades(2)), shades(2)[..., :1]),
    "colour.png": (deep_png(shades(3)), shades(3)),
    "colour_alpha.png": (deep_png(shades(4)), shades(4)[..., :3]),
    "intel.tiff": (deep_tiff(shades(3), "<"), shades(3)),
    "motorola.tiff": (deep_tiff(shades(3), ">"), shades(3)),
    "grey.tiff": (odd.encoded(Image.fromarray(shades(1)[..., 0]), "TIFF"), shades(1)),
    "integers.tiff": (
        odd.encoded(Image.fromarray(shades(1)[..., 0].astype(np.int32)), "TIFF"), shades(1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_lab_is_shown_in_colour_and_in_grey(channels):
    grey = Image.new("L", SIZE[::-1], 119)
    lab = odd.encoded(grey.convert("RGB").convert("LAB"), "TIFF")
    assert abs(decoded(lab, channels).pixels.astype(int) - 119).max() <= 2


@pytest.mark.parametrize("name", DEEP)
def test_every_bit_of_deep_photos_counts(name):
    content, values = DEEP[name]
    whole, scaled = decoded(content), decoded(content, value_range=TWELVE_BITS)
    assert np.array_equal(whole.pixels, np.broadcast_to(values // 257, whole.pixels.shape))
    expected = values.astype(int) * 255 // 4095
    assert np.array_equal(scaled.pixels, np.broadcast_to(expected, scaled.pixels.shape))
    assert whole.span == (values.min(), values.max())
    assert not whole.transparent


def test_grey_of_16_bits_may_be_white_at_0():
    found = decoded(deep_tiff(65535 - shades(1), "<", meaning=0), value_range=TWELVE_BITS)
    expected = shades(1).astype(int) * 255 // 4095
    assert np.array_equal(found.pixels, np.broadcast_to(expected, found.pixels.shape))
    assert found.span == (shades(1).min(), shades(1).max())


def test_inks_of_16_bits_are_the_colours_that_they_have_in_8_bits():
    inks = np.random.default_rng(0).integers(0, 256, (*SIZE, 4)).astype(np.uint16)
    plain = odd.encoded(Image.fromarray(inks.astype(np.uint8), "CMYK"), "TIFF")
    deep = deep_tiff(inks << 8, "<", meaning=5)
    assert np.array_equal(decoded(deep).pixels, decoded(plain).pixels)


def test_files_that_pillow_silently_misreads_are_refused():
    assert "planes" in decoded(deep_tiff(shades(3), "<", planes=2))
    grey = deep_tiff(shades(1), "<", meaning=1)
    signed = grey.replace(struct.pack("<HHII", 258, 3, 1, 16), struct.pack("<HHII", 258, 3, 1, 8))
    signed = signed.replace(struct.pack("<HHII", 284, 4, 1, 1), struct.pack("<HHII", 339, 3, 1, 2))
    assert "signed" in decoded(signed)


def test_values_beyond_the_range_are_black_and_white():
    values = np.array([[[0], [1000], [1500], [2000], [65535]]], np.uint16)
    found = decoded(deep_png(values), 1, (1000, 2000), (1, 5)).pixels.ravel()
    assert found.tolist() == [0, 0, 127, 255, 255]


@pytest.mark.parametrize("values", [
    np.linspace(0, 1, 35, dtype=np.float32),
    np.linspace(-1000, 3000, 35).astype(np.int32),
    np.linspace(0, 2**20, 35).astype(np.int32),
])  # fmt: skip
def test_photos_of_32_bits_are_used_once_their_range_is_given(values):
    content = odd.encoded(Image.fromarray(values.reshape(SIZE)), "TIFF")
    low, high = float(values.min()), float(values.max())
    assert f"32 bits, from {low:,g} to {high:,g}" in (why := decoded(content))
    assert "dataset.value_range=[LOW,HIGH]" in why
    found = decoded(content, 1, (low, high)).pixels.ravel()
    assert abs(found - np.linspace(0, 255, 35)).max() <= 1


def test_nan_is_refused():
    values = np.full(SIZE, np.nan, np.float32)
    why = decoded(odd.encoded(Image.fromarray(values), "TIFF"), 1, (0, 1))
    assert why == "some of its values are no numbers"


def half_transparent(mode: str) -> Image.Image:
    """Return a black image, transparent in its left half and opaque in its right half."""
    image = Image.new("RGBA", (8, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (4, 0, 8, 4))
    return image.convert(mode)


def keyed(mode: str, transparent: object) -> bytes:
    """Return a PNG in which one colour stands for transparency."""
    image = Image.new(mode, (8, 4), transparent)
    image.paste(tuple([0] * len(transparent)) if mode == "RGB" else 0, (4, 0, 8, 4))
    return odd.encoded(image, "PNG", transparency=transparent)


LEFT_AND_RIGHT = np.repeat([[[300], [0]]], 4, 1).repeat(4, 0).astype(np.uint16)
TRANSPARENT = {
    "deep_key.png": deep_png(LEFT_AND_RIGHT, (300,)),
    "deep_colour_key.png": deep_png(LEFT_AND_RIGHT.repeat(3, 2), (300, 300, 300)),
    "colour.png": odd.encoded(half_transparent("RGBA"), "PNG"),
    "grey.png": odd.encoded(half_transparent("LA"), "PNG"),
    "colour.webp": odd.encoded(half_transparent("RGBA"), "WEBP", lossless=True),
    "colour.tiff": odd.encoded(half_transparent("RGBA"), "TIFF"),
    "palette.gif": odd.encoded(half_transparent("RGBA"), "GIF"),
    "palette.png": odd.encoded(half_transparent("RGBA").quantize(), "PNG"),
    "key.png": keyed("RGB", (10, 20, 30)),
    "grey_key.png": keyed("L", 7),
    "deep.png": deep_png(np.repeat(np.array([0, 65535], np.uint16), 16).reshape(2, 4, 4)
                         .transpose(1, 0, 2).repeat(4, 1) * np.array([0, 0, 0, 1], np.uint16)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSPARENT)
@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_parts_are_white(name, channels):
    found = decoded(TRANSPARENT[name], channels, size=(4, 8))
    assert found.transparent
    assert (found.pixels[:, :4] == 255).all()
    assert (found.pixels[:, 4:] == 0).all()


def test_half_transparent_parts_are_half_white():
    found = decoded(odd.encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert abs(found.pixels.astype(int) - 127).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_opaque_alpha_channel_does_not_count_as_transparent(mode):
    found = decoded(odd.encoded(odd.picture().convert(mode), "PNG"), size=(32, 48))
    assert not found.transparent
    expected = odd.picture().convert("L" if mode == "LA" else "RGB").convert("RGB")
    assert np.array_equal(found.pixels, np.asarray(expected))


@pytest.mark.parametrize(("mode", "kind"), [("1", "PNG"), ("1", "TIFF"), ("CMYK", "TIFF"),
                                            ("P", "BMP"), ("YCbCr", "TIFF")])  # fmt: skip
def test_other_modes_keep_black_and_white(mode, kind):
    image = Image.new("RGB", (8, 4), "white")
    image.paste((0, 0, 0), (4, 0, 8, 4))
    found = decoded(odd.encoded(image.convert(mode), kind), size=(4, 8)).pixels
    assert found[:, :4].min() >= 253
    assert found[:, 4:].max() <= 2


def test_a_photo_of_one_colour_is_recognised_in_any_frame():
    content = odd.encoded(Image.new("RGB", (40, 20), (200, 100, 50)), "PNG")
    for resize in ("stretch", "crop", "pad"):
        assert try_to_decode(content, Frame((16, 16), 3, resize, None)).uniform
    assert not decoded(odd.encoded(odd.picture(), "PNG")).uniform


# Sizes.


def large_jpeg(width, height, **options):
    return odd.encoded(Image.new("L", (width, height), 120), quality=30, **options)


@pytest.mark.parametrize(("mode", "channels"), [("LAB", 3), ("L", 1), ("I;16", 1), ("CMYK", 3)])
def test_photos_of_one_size_keep_their_colours(mode, channels):
    content = odd.encoded(Image.new(mode, (20, 20)), "TIFF")
    assert find_common_shape(Photos(["one"], lambda _: content), None) == (20, 20, channels)


def test_a_photo_of_200_megapixels_is_decoded_reduced():
    found = decoded(large_jpeg(16320, 12240), size=(16, 16))
    assert abs(found.pixels.astype(int) - 120).max() <= 3


def test_photo_too_large_for_memory_is_refused_with_the_limit(monkeypatch):
    monkeypatch.setattr("cnntrain.data.photos.photo.LARGEST_JPEG", 10_000)
    content = large_jpeg(400, 200)
    assert not isinstance(decoded(content, size=(20, 40)), str)
    assert "more than the limit of 0" in decoded(content, size=(200, 400))
    progressive = large_jpeg(400, 200, progressive=True)  # held whole, however small it is wanted
    assert "more than the limit" in decoded(progressive, size=(20, 40))


def test_other_formats_keep_the_limit_of_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    file = io.BytesIO()
    odd.picture(0, 100, 100).save(file, "PNG")
    assert "exceeds limit of 2000 pixels" in decoded(file.getvalue())
