"""A decoded photo is upright, fits its frame, and agrees with an independent computation."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageOps

from cnntrain.data.photos.decode import decode_chosen_photos, scan_photos, try_to_decode
from cnntrain.data.photos.photo import (
    JPEG_REDUCTIONS,
    Frame,
    Header,
    Photos,
    draw_crop_box,
    find_view,
    reframe_image,
)
from helpers import odd

WHOLE, GREY, BROKEN = odd.whole(), odd.grey(), odd.broken()
# Lossy formats, and by how much the mean pixel may differ.
LOSSY = {".jpg": 1, ".txt": 1, "no_suffix": 1, ".gif": 3, "palette.png": 6}


def seen(content, size, channels=3, resize="stretch", window=None):
    """Return the pixels of a photo as training sees them; fail if it is broken."""
    found = try_to_decode(content, Frame(size, channels, resize, None), window)
    assert not isinstance(found, str), found
    return found.pixels


@pytest.mark.parametrize("name", [*WHOLE, *GREY])
@pytest.mark.parametrize("channels", [1, 3])
def test_odd_files_show_the_picture_upright(name, channels):
    mode = "L" if channels == 1 or name in GREY else "RGB"
    expected = np.asarray(odd.picture().convert(mode).convert("RGB")).astype(int)[..., :channels]
    found = seen((WHOLE | GREY)[name], (32, 48), channels)
    allowed = max((mean for end, mean in LOSSY.items() if name.endswith(end)), default=0)
    assert abs(found - expected).mean() <= allowed + (channels == 1)  # of rounding


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_recognised_with_a_reason(name):
    content, why = BROKEN[name]
    found = try_to_decode(content, Frame((32, 48), 3, "stretch", None))
    assert isinstance(found, str)
    assert why in found.lower()
    known = scan_photos(Photos([name], lambda row: content))
    assert known.broken.get(0, found) == found


def triangle(image, size):
    """Resize pixels (h, w, C) with a triangle filter in float64.

    The triangle is twice as wide as the pixels that become one.
    """
    for axis, wanted in enumerate(size):
        count = image.shape[axis]
        scale = count / wanted
        at = (np.arange(wanted)[:, None] + 0.5) * scale
        weights = 1 - abs(np.arange(count) + 0.5 - at) / max(scale, 1)
        weights = np.maximum(weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
    return image


@pytest.mark.parametrize("scale", JPEG_REDUCTIONS)
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_jpegs_are_decoded_at_the_scale_above_twice_the_size_and_averaged(scale, resize):
    wide, tall = 800, 600
    content = odd.encoded(odd.picture(0, wide, tall), quality=95)
    size = height, width = 200 // scale, 250 // scale  # 3 to 3.2 times smaller than that
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, (wide // scale, tall // scale))
        drafted = np.asarray(image).astype(float)
    assert drafted.shape[:2] == (tall // scale, wide // scale)
    if resize == "stretch":
        expected = triangle(drafted, size)
    elif resize == "crop":
        kept = tall * width / height  # columns of the photo
        left, right = (round((wide + sign * kept) / 2 / scale) for sign in (-1, 1))
        expected = triangle(drafted[:, left:right], size)
    else:
        inner = round(tall * width / wide)
        top = (height - inner) // 2
        expected = np.zeros((*size, 3))
        expected[top : top + inner] = triangle(drafted, (inner, width))
    assert abs(seen(content, size, resize=resize) - expected).max() <= 1.51  # a level, and rounding


FORMATS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "BMP": {}, "PPM": {}}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(64, 64), (40, 90), (200, 200), (500, 700)])
def test_a_picture_has_the_same_pixels_in_every_format(kind, size):
    """The picture is textured, because texture shows best where averaging is missing."""
    noise = np.random.default_rng(0).integers(0, 256, (75, 100, 3), np.uint8)
    texture = Image.fromarray(noise).resize((600, 450), Image.Resampling.BICUBIC)
    jpeg = odd.encoded(texture, quality=92)
    decoded = Image.open(io.BytesIO(jpeg)).convert("RGB")
    other = odd.encoded(decoded, kind, **FORMATS[kind])
    apart = abs(seen(jpeg, size).astype(int) - seen(other, size))
    assert apart.mean() <= (1 if min(size) < 113 else 0)  # where the JPEG was decoded reduced
    plain = decoded.resize(size[::-1], Image.Resampling.BILINEAR)
    assert np.array_equal(seen(other, size), np.asarray(plain))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_other_formats_are_resized_as_pillow_does(resize):
    image = odd.picture(0, 90, 60)
    size = (30, 30)
    cut = image.crop((15, 0, 75, 60)) if resize == "crop" else image
    inner = (30, 20) if resize == "pad" else (30, 30)
    expected = np.zeros((*size, 3), np.uint8)
    top = (30 - inner[1]) // 2
    expected[top : top + inner[1]] = np.asarray(cut.resize(inner, Image.Resampling.BILINEAR))
    differs = seen(odd.encoded(image, "PNG"), size, resize=resize).astype(int) - expected
    assert abs(differs[:, 1:-1]).max() == 0
    assert abs(differs).max() <= 2  # at its edges a crop sees a little of what is cut off
    frame = Frame(size, 3, resize, None)
    assert np.array_equal(reframe_image(np.asarray(image), frame), expected + differs)


def test_crop_equals_pillows_fit():
    image = odd.picture(0, 90, 61)
    expected = np.asarray(ImageOps.fit(image, (40, 30), Image.Resampling.BILINEAR)).astype(int)
    assert abs(seen(odd.encoded(image, "PNG"), (30, 40), resize="crop") - expected).max() <= 1


@pytest.mark.parametrize(("size", "frame"), [((225, 300), 224), ((300, 225), 224), ((22, 30), 299)])
def test_crop_stays_within_the_photo_in_spite_of_rounding(size, frame):
    """224 * (225 / 224) is greater than 225."""
    image = odd.picture(0, *size)
    expected = np.asarray(ImageOps.fit(image, (frame, frame), Image.Resampling.BILINEAR))
    found = seen(odd.encoded(image, "PNG"), (frame, frame), resize="crop")
    assert abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_shown_part_of_a_photo_does_not_depend_on_its_stored_orientation(orientation, kind, resize):
    options = {"quality": 95} if kind == "JPEG" else {}
    upright, turned = (
        seen(odd.turned(n, kind, **options), (24, 12), resize=resize) for n in (1, orientation)
    )
    assert abs(turned.astype(int) - upright).mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_window_shows_the_same_part_however_the_photo_is_stored(orientation):
    def window(width, height):
        return width * 0.5, height * 0.25, width * 1.0, height * 0.75

    content = odd.turned(orientation, "JPEG", quality=95, subsampling=0)
    found = seen(content, (16, 24), resize="random_crop", window=window)
    expected = np.asarray(odd.picture())[8:24, 24:]
    assert abs(found.astype(int) - expected).mean() < 1.5


def test_random_windows_lie_inside_and_are_of_the_right_areas_and_aspects():
    random = np.random.default_rng(0)
    boxes = np.array([draw_crop_box(random)(400, 300) for _ in range(2000)])
    left, top, right, bottom = boxes.T
    wide, tall = right - left, bottom - top
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 400 + 1e-9
    assert bottom.max() <= 300 + 1e-9
    shares = wide * tall / (400 * 300)
    fits = tall < 300 - 1e-9  # a window that does not fit is made smaller
    assert shares[fits].min() >= 0.08
    assert shares.max() <= 1
    assert ((wide / tall >= 3 / 4 - 1e-9) & (wide / tall <= 4 / 3 + 1e-9))[fits].all()
    assert abs((left[fits] / (400 - wide[fits])).mean() - 0.5) < 0.03  # anywhere, evenly


def test_small_photos_may_be_smaller_than_a_window_of_whole_pixels():
    content = odd.encoded(odd.picture(0, 3, 2), quality=95)
    random = np.random.default_rng(0)
    windows = [draw_crop_box(random) for _ in range(50)]
    for size in ((5, 7), (1, 1)):
        images = [seen(content, size, resize="random_crop", window=window) for window in windows]
        assert np.min(images) > 0


def test_a_photo_does_not_depend_on_the_photos_decoded_with_it():
    contents = [*WHOLE.values(), *(content for content, _ in BROKEN.values())]
    photos = Photos([""] * len(contents), contents.__getitem__)
    rows = range(len(contents))
    together = decode_chosen_photos(
        photos, rows, Frame((16, 20), 3, "crop", None), [None] * len(rows)
    )
    assert [isinstance(found, str) for found in together] == [row >= len(WHOLE) for row in rows]
    for found, content in zip(together, WHOLE.values(), strict=False):
        assert np.array_equal(found.pixels, seen(content, (16, 20), resize="crop"))


def test_damage_is_found_at_any_scale_and_place():
    content = odd.encoded(odd.picture(4, 320, 240), quality=95, subsampling=0)
    cuts = [content[:length] for length in range(len(content) // 2, len(content), 97)]
    for size, resize in [((8, 8), "stretch"), ((200, 300), "stretch"), ((20, 90), "crop")]:
        frame = Frame(size, 3, resize, None)
        assert all(isinstance(try_to_decode(cut, frame), str) for cut in cuts)


def test_real_photos_are_close_to_what_their_pixels_average_to(archives):
    with zipfile.ZipFile(archives / "cats_and_dogs_700.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][::50]
        contents = [archive.read(name) for name in names]
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
    for size, most in [(64, 1), (96, 0.5), (224, 0)]:  # mean grey levels
        found = np.stack([seen(content, (size, size)) for content in contents]).astype(int)
        averaged = [image.resize((size, size), Image.Resampling.BILINEAR) for image in images]
        assert abs(found - np.stack(averaged)).mean() <= most
        assert abs((found - np.stack(averaged)).mean()) < 0.2  # neither lighter nor darker


def test_views_are_scaled_so_that_the_filter_has_twice_the_pixels():
    header = Header(500, 375, 1)
    scales = {size: find_view(header, Frame((size, size), 3, "stretch", None)).reduction
              for size in (20, 23, 24, 46, 47, 93, 94, 600)}  # fmt: skip
    assert scales == {20: 8, 23: 8, 24: 4, 46: 4, 47: 2, 93: 2, 94: 1, 600: 1}
