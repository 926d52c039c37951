"""Pictures in every form become the pixels that a photo would, or are refused with a reason."""

import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnntrain.api.pictures import gather_pictures
from cnntrain.data.photos.photo import Frame, decode_photo
from cnntrain.errors import SpecError

GREY = Frame((8, 8), 1, "stretch", None)
COLOUR = Frame((8, 6), 3, "crop", None)
RANDOM = np.random.default_rng(0)


def make_pixels(*shape):
    return RANDOM.integers(0, 256, shape, np.uint8)


def decode_all(images, frame):
    return [picture.decode() for picture in gather_pictures(images, frame)]


def pixels_of(images, frame):
    return np.stack([photo.pixels for photo in decode_all(images, frame)])


@pytest.mark.parametrize(
    ("frame", "shape", "count"),
    [
        (GREY, (8, 8), 1),
        (GREY, (8, 8, 1), 1),
        (GREY, (5, 8, 8), 5),
        (GREY, (5, 8, 8, 1), 5),
        (COLOUR, (8, 6, 3), 1),
        (COLOUR, (5, 8, 6, 3), 5),
    ],
)
def test_array_of_the_right_size_is_left_as_it_is(frame, shape, count):
    pixels = make_pixels(*shape)
    assert np.array_equal(pixels_of(pixels, frame), pixels.reshape(count, *frame.shape))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
@pytest.mark.parametrize("frame", [GREY, COLOUR], ids=["grey", "colour"])
def test_image_of_pillow_is_its_file(tmp_path, mode, frame):
    if mode == "I;16":
        image = Image.fromarray(RANDOM.integers(0, 2**16, (20, 30), np.uint16))
    else:
        image = Image.fromarray(make_pixels(20, 30, 4)).convert(mode)
    image.save(tmp_path / "image.png")
    file = decode_photo((tmp_path / "image.png").read_bytes(), frame).pixels
    assert np.array_equal(pixels_of(image, frame)[0], file)
    assert np.array_equal(pixels_of(tmp_path / "image.png", frame)[0], file)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_image_of_many_bits_is_its_file(tmp_path, mode):
    values = RANDOM.integers(0, 2**16, (20, 30))
    image = Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32))
    assert image.mode == mode
    image.save(tmp_path / "image.tiff")
    frame = Frame((8, 8), 1, "stretch", (0, 50_000))
    file = decode_photo((tmp_path / "image.tiff").read_bytes(), frame).pixels
    assert len(np.unique(file)) > 30
    assert np.array_equal(pixels_of(image, frame)[0], file)


def test_float_image_without_a_range_of_values_is_broken():
    (photo,) = decode_all(Image.fromarray(np.full((8, 8), 0.5, np.float32)), GREY)
    assert "32 bits, from 0.5 to 0.5" in photo


def test_image_of_pillow_that_is_cut_off_is_broken(tmp_path):
    Image.fromarray(make_pixels(20, 30, 3)).save(tmp_path / "image.png")
    (tmp_path / "image.png").write_bytes((tmp_path / "image.png").read_bytes()[:200])
    image = Image.open(tmp_path / "image.png")
    assert all(isinstance(photo, str) for photo in decode_all([image, image], COLOUR))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX", "RGBa", "PA"])
def test_image_in_a_mode_that_png_lacks_is_shown_in_colour(mode):
    image = Image.fromarray(make_pixels(8, 6, 3))
    image = image.convert("RGBA").convert(mode) if mode == "RGBa" else image.convert(mode)
    assert np.array_equal(pixels_of(image, COLOUR)[0], np.asarray(image.convert("RGB")))


def test_image_of_pillow_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(make_pixels(6, 8, 3))
    image.getexif().update(exif)
    assert np.array_equal(pixels_of(image, COLOUR)[0], np.rot90(np.asarray(image), -1))


def test_array_of_another_size_is_the_photo_of_its_pixels():
    pixels = make_pixels(20, 30, 3)
    assert np.array_equal(pixels_of(pixels, GREY), pixels_of(Image.fromarray(pixels), GREY))


def test_grey_array_is_three_equal_channels_in_colour():
    pixels = make_pixels(8, 6)
    assert np.array_equal(pixels_of(pixels, COLOUR)[0], np.stack([pixels] * 3, axis=-1))


def test_list_may_hold_everything_in_its_order(tmp_path):
    first, second = make_pixels(8, 8), make_pixels(2, 8, 8, 1)
    Image.fromarray(first).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    listed = [second, str(tmp_path), Image.fromarray(first), first]
    pictures = gather_pictures(listed, GREY)
    assert [p.name for p in pictures] == [
        "image 0.0", "image 0.1", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "image 2",
        "image 3",
    ]  # fmt: skip
    decoded = [picture.decode() for picture in pictures]
    assert decoded[3] == "no image of a known format"
    whole = np.stack([photo.pixels[..., 0] for n, photo in enumerate(decoded) if n != 3])
    assert np.array_equal(whole, [second[0, ..., 0], second[1, ..., 0], first, first, first])


@pytest.mark.parametrize("column", [np.array, pd.Series], ids=["array", "column"])
def test_column_of_paths_is_a_list(tmp_path, column):
    paths = [str(tmp_path / name) for name in ("b.png", "a.png")]
    for path in paths:
        Image.fromarray(make_pixels(8, 8)).save(path)
    assert [picture.name for picture in gather_pictures(column(paths), GREY)] == paths


def test_tensor_is_an_array():
    import keras

    pixels = make_pixels(2, 8, 8, 1)
    tensor = keras.ops.convert_to_tensor(pixels)
    assert np.array_equal(pixels_of(tensor, GREY), pixels)


SCALED = '(255 * images).round().astype("uint8"), if 1 is white'


@pytest.mark.parametrize(
    ("images", "given", "hint"),
    [
        (np.linspace(0, 1, 64).reshape(8, 8), "float64 with values from 0 to 1", SCALED),
        (np.ones((8, 8), bool), "bool with values from 1 to 1", SCALED),
        (np.full((8, 8), 200.0, np.float32), "float32 with values from 200 to 200", "white"),
        (np.full((8, 8), 200), "int64 with values from 200 to 200", "white"),
        (np.full((8, 8), -1.0), "float64 with values from -1 to -1", None),
        (np.full((8, 8), 300, np.uint16), "uint16 with values from 300 to 300", None),
        (np.full((8, 8), np.nan), "float64 with values from nan to nan", None),
        (np.full((8, 8), "x"), "<U1", None),
        (np.full((8, 8), None), "object", None),
        (np.empty((0, 8, 8)), "float64", None),
    ],
    ids=lambda value: None if value is None or isinstance(value, str) else str(value.dtype),
)
def test_other_numbers_than_bytes_are_refused(images, given, hint):
    with pytest.raises(SpecError) as answer:
        gather_pictures(images, GREY)
    assert answer.value.given == f"the images are {given}"
    assert (answer.value.hint is None) == (hint is None)
    assert hint is None or hint in answer.value.hint


@pytest.mark.parametrize(
    ("shape", "frame", "hint"),
    [
        ((3, 8, 6), COLOUR, "moveaxis"),
        ((5, 3, 8, 6), COLOUR, "moveaxis"),
        ((5, 8, 6), COLOUR, "newaxis"),
        ((8, 6, 4), COLOUR, "PIL"),
        ((5, 8, 8, 4), GREY, "PIL"),
        ((5, 64), GREY, "reshape(-1, 8, 8, 1)"),  # rows of a table, or one wide image
        ((5, 144), COLOUR, "reshape(-1, 8, 6, 3)"),
        ((8,), GREY, None),
        ((1, 5, 8, 8, 1), GREY, None),
    ],
)
def test_axes_that_are_not_clear_are_refused(shape, frame, hint):
    with pytest.raises(SpecError, match="the images have the shape") as answer:
        gather_pictures(make_pixels(*shape), frame)
    assert hint is None or hint in answer.value.hint


@pytest.mark.parametrize("images", [[], 3, None, [None], "-", "nowhere.png", {"a": 1}])
def test_what_is_no_picture_is_refused(images):
    with pytest.raises(SpecError):
        gather_pictures(images, GREY)


def test_bytes_of_zero_and_one_are_doubted():
    with pytest.warns(UserWarning, match="no pixel is above 1"):
        gather_pictures(np.eye(8, dtype=np.uint8), GREY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gather_pictures(np.zeros((8, 8), np.uint8), GREY)  # black, and meant so
