"""What is measured of an image: sharpness, spread, size, and a small grey copy."""

import io

import numpy as np
import pytest
from PIL import Image

from cnntrain.data.doctor.looks import look_at_images, measure_image, read_example
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.data.photos.photo import ORIENTATION, Frame, Photos
from cnntrain.data.source import Examples, Splits


def encode(pixels, kind="png", **options):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def make_splits(store, count):
    rows = {"train": np.arange(count - 2), "valid": [count - 2], "test": [count - 1]}
    parts = {s: Examples(store, np.zeros(len(r), np.int32), np.array(r)) for s, r in rows.items()}
    return Splits(**parts, class_names=("one",), origin=dict.fromkeys(rows, "official"))


def store_photos(*contents):
    photos = Photos([f"{n}.png" for n in range(len(contents))], lambda row: contents[row])
    return LazyImages(photos, Frame((16, 16), 3, "stretch", None))


def test_sharpness_is_the_variance_of_the_laplacian():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 1), np.uint8)
    padded = np.pad(pixels[..., 0].astype(float), 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    look = measure_image(pixels, (9, 12))
    assert look.sharpness == pytest.approx((around - 4 * middle).var(), rel=1e-5)
    assert look.spread == pytest.approx(pixels.std(), rel=1e-5)
    assert look.copy.shape == (32, 32)


def test_spread_is_that_of_the_colour_that_varies_most():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :, 2] = 200
    assert measure_image(pixels, (8, 8)).spread == pytest.approx(100)


def test_photos_are_measured_as_they_are_stored_and_not_as_training_stretches_them():
    random = np.random.default_rng(0)
    large = random.integers(0, 256, (300, 600, 3), np.uint8)
    sideways = Image.Exif()
    sideways[ORIENTATION] = 6
    contents = (
        encode(large),
        encode(large[:40, :80], "jpeg", exif=sideways, quality=95),
        b"no image",
        encode(np.full((50, 50, 3), 7, np.uint8)),
    )
    splits = make_splits(store_photos(*contents), 4)
    looks = look_at_images(splits)
    assert looks.sizes.tolist() == [[300, 600], [80, 40], [0, 0], [50, 50]]
    assert np.isnan(looks.sharpness).tolist() == [False, False, True, False]
    assert looks.spread[3] == 0
    assert looks.copies[3].min() == looks.copies[3].max() == 7
    shown, size = read_example(splits.train, 0, 100)
    assert (shown.shape, size) == ((50, 100, 3), (300, 600))
    assert read_example(splits.valid, 0, 100) == (None, (0, 0))


def test_images_of_an_array_are_measured_too():
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1), np.uint8)
    looks = look_at_images(make_splits(images, 6))
    assert (looks.copies == images[..., 0]).all()
    assert looks.typical_side == 32
    assert read_example(Examples(images, np.zeros(6, np.int32)), 2, 16)[0].shape == (16, 16, 1)
