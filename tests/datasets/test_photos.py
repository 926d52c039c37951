"""What becomes of a photo: upright, in its frame, and as an independent computation has it."""

import io
import zipfile

import numpy as np
import odd
import pytest
from PIL import Image

from cnntrain.datasets.decoding import looked_at, pixels
from cnntrain.datasets.photos import (
    SCALES,
    Frame,
    Photos,
    decode,
    plain_jpeg,
    random_window,
    reframe,
    view,
)

WHOLE, GREY, BROKEN = odd.whole(), odd.grey(), odd.broken()
# Formats that lose something: how far the mean pixel may be off.
LOSSY = {".jpg": 1, ".txt": 1, "no_suffix": 1, ".gif": 3, "palette.png": 6}


def seen(content, frame):
    """A photo as training sees it; it must be whole."""
    images, broken = pixels([content], [plain_jpeg(content)], frame)
    assert broken == {}
    return images[0]


@pytest.mark.parametrize("name", [*WHOLE, *GREY])
@pytest.mark.parametrize("channels", [1, 3])
def test_odd_files_show_the_picture_upright(name, channels):
    mode = "L" if channels == 1 or name in GREY else "RGB"
    expected = np.asarray(odd.picture().convert(mode).convert("RGB")).astype(int)[..., :channels]
    found = seen((WHOLE | GREY)[name], Frame((32, 48), channels, "stretch"))
    allowed = max((mean for end, mean in LOSSY.items() if name.endswith(end)), default=0)
    assert abs(found - expected).mean() <= allowed + (channels == 1)  # of rounding


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_apart_and_why_in_words(name):
    content, why = BROKEN[name]
    known = looked_at(Photos([name], lambda row: content))
    _, broken = pixels([content], known.jpegs, Frame((32, 48), 3, "stretch"))
    assert why in (broken | known.broken)[0].lower()
    assert 0 in broken


def bilinear(image, size):
    """Interpolation between the four nearest pixels (h, w, C), in float64."""
    for axis, wanted in enumerate(size):
        count = image.shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(3)])
        below, above = (np.take(image, np.minimum(low + i, count - 1), axis) for i in (0, 1))
        image = below * (1 - share) + above * share
    return image


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_jpegs_are_decoded_at_the_scale_above_and_interpolated(scale, resize):
    wide, tall = 400 + scale, 300
    content = odd.encoded(odd.picture(0, wide, tall), quality=95)
    frame = Frame((200 // scale, 250 // scale), 3, resize)  # 1.5 to 1.6 times smaller than that
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, (wide // scale, tall // scale))
        drafted = np.asarray(image).astype(float)
    height, width = frame.size
    assert drafted.shape[:2] == (-(-tall // scale), -(-wide // scale))
    if resize == "stretch":
        expected = bilinear(drafted[:, : round(wide / scale)], frame.size)
    elif resize == "crop":
        kept = tall * width / height  # columns of the photo
        left, right = (round((wide + sign * kept) / 2 / scale) for sign in (-1, 1))
        expected = bilinear(drafted[:, left:right], frame.size)
    else:
        inner = round(tall * width / wide)
        top = (height - inner) // 2
        expected = np.zeros(frame.shape)
        shown = bilinear(drafted[:, : round(wide / scale)], (inner, width))
        expected[top : top + inner] = shown
    assert abs(seen(content, frame) - expected).max() <= 1.51  # a level, and rounding


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_other_formats_are_resized_as_pillow_does(resize):
    image = odd.picture(0, 90, 60)
    frame = Frame((30, 30), 3, resize)
    cut = image.crop((15, 0, 75, 60)) if resize == "crop" else image
    inner = (30, 20) if resize == "pad" else (30, 30)
    expected = np.zeros(frame.shape, np.uint8)
    top = (30 - inner[1]) // 2
    expected[top : top + inner[1]] = np.asarray(cut.resize(inner, Image.Resampling.BILINEAR))
    differs = seen(odd.encoded(image, "PNG"), frame).astype(int) - expected
    assert abs(differs[:, 1:-1]).max() == 0
    assert abs(differs).max() <= 2  # at its edges a crop sees a little of what is cut off
    assert np.array_equal(reframe(np.asarray(image), frame), expected + differs)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_what_is_shown_of_a_photo_does_not_depend_on_how_it_is_stored(orientation, kind, resize):
    options = {"quality": 95} if kind == "JPEG" else {}
    frame = Frame((24, 12), 3, resize)
    upright, turned = (seen(odd.turned(n, kind, **options), frame) for n in (1, orientation))
    assert abs(turned.astype(int) - upright).mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_window_shows_the_same_part_however_the_photo_is_stored(orientation):
    def window(width, height):
        return width * 0.5, height * 0.25, width * 1.0, height * 0.75

    content = odd.turned(orientation, "JPEG", quality=95, subsampling=0)
    frame = Frame((16, 24), 3, "random_crop")
    images, broken = pixels([content], [plain_jpeg(content)], frame, [window])
    expected = np.asarray(odd.picture())[8:24, 24:]
    assert broken == {}
    assert abs(images[0].astype(int) - expected).mean() < 1.5
    slowly = decode(content, frame, window)
    assert abs(slowly.astype(int) - expected).mean() < 1.5


def test_random_windows_lie_inside_and_are_of_the_right_areas_and_aspects():
    random = np.random.default_rng(0)
    boxes = np.array([random_window(random)(400, 300) for _ in range(2000)])
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
    windows = [random_window(random) for _ in range(50)]
    for frame in (Frame((5, 7), 3, "random_crop"), Frame((1, 1), 3, "random_crop")):
        images, broken = pixels([content] * 50, [plain_jpeg(content)] * 50, frame, windows)
        assert broken == {}
        assert images.min() > 0


def test_a_photo_is_the_same_in_whatever_company():
    contents = [*WHOLE.values(), *(content for content, _ in BROKEN.values())]
    known = looked_at(Photos([""] * len(contents), contents.__getitem__))
    frame = Frame((16, 20), 3, "crop")
    together, broken = pixels(contents, known.jpegs, frame)
    assert sorted(broken) == list(range(len(WHOLE), len(contents)))
    for index, content in enumerate(WHOLE.values()):
        assert np.array_equal(together[index], seen(content, frame))


def test_damage_is_found_at_any_scale_and_wherever_it_is():
    content = odd.encoded(odd.picture(4, 320, 240), quality=95, subsampling=0)
    header = plain_jpeg(content)
    cuts = [content[:length] for length in range(len(content) // 2, len(content), 97)]
    for size, resize in [((8, 8), "stretch"), ((200, 300), "stretch"), ((20, 90), "crop")]:
        _, broken = pixels(cuts, [header] * len(cuts), Frame(size, 3, resize))
        assert len(broken) == len(cuts)


def test_real_photos_are_close_to_what_their_pixels_average_to(archives):
    """Closer than interpolation of the whole photo, which is what most pipelines do."""
    import tensorflow as tf

    with zipfile.ZipFile(archives / "cats_and_dogs_700.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][::50]
        contents = [archive.read(name) for name in names]
    for size, ours, theirs in [
        (64, 3.5, 5),
        (224, 2.5, 1.5),
    ]:  # mean grey levels, at most and least
        frame = Frame((size, size), 3, "stretch")
        found = np.stack([seen(content, frame) for content in contents]).astype(float)
        images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
        averaged = [image.resize((size, size), Image.Resampling.BILINEAR) for image in images]
        plain = [tf.image.resize(tf.io.decode_jpeg(content), (size, size)) for content in contents]
        assert abs(found - np.stack(averaged)).mean() < ours
        assert abs(np.stack(plain) - np.stack(averaged)).mean() > theirs
        assert abs((found - np.stack(averaged)).mean()) < 0.2  # neither lighter nor darker


def test_views_are_scaled_so_that_nothing_is_blown_up():
    header = plain_jpeg(odd.encoded(odd.picture(0, 500, 375)))
    scales = {size: view(header, Frame((size, size), 3, "stretch")).scale
              for size in (40, 46, 47, 93, 94, 187, 188, 600)}  # fmt: skip
    assert scales == {40: 8, 46: 8, 47: 4, 93: 4, 94: 2, 187: 2, 188: 1, 600: 1}
