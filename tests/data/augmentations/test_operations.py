"""Each operation of the policies against Pillow, which the papers' code calls image by image."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnntrain.data.augmentations.ops.operations import FILTERS, MAPS, TONES, perform_operations

FILL = 77
NEAREST, BILINEAR = Image.Resampling.NEAREST, Image.Resampling.BILINEAR
SHAPES = [(32, 32, 3), (28, 28, 1), (5, 9, 3), (2, 3, 1), (1, 1, 3)]


def affine(image, coefficients, how):
    fill = (FILL,) * len(image.getbands())
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, how, fillcolor=fill)


def turned(image, degrees, how):
    return image.rotate(degrees, how, fillcolor=(FILL,) * len(image.getbands()))


# Operation -> Pillow's version for one image, and magnitudes that policies use, and beyond.
PILLOW = {
    "autocontrast": (lambda image, _: ImageOps.autocontrast(image), (0, 0)),
    "equalize": (lambda image, _: ImageOps.equalize(image), (0, 0)),
    "invert": (lambda image, _: ImageOps.invert(image), (0, 0)),
    "solarize": (lambda image, m: ImageOps.solarize(image, m), range(257)),
    "posterize": (lambda image, m: ImageOps.posterize(image, m), range(1, 9)),
    "contrast": (lambda image, m: ImageEnhance.Contrast(image).enhance(m), (0.01, 2)),
    "brightness": (lambda image, m: ImageEnhance.Brightness(image).enhance(m), (0.01, 2)),
    "color": (lambda image, m: ImageEnhance.Color(image).enhance(m), (0.01, 2)),
    "sharpness": (lambda image, m: ImageEnhance.Sharpness(image).enhance(m), (0.01, 2)),
}
AFFINE = {
    "rotate": (turned, (-135, 135)),
    "shear_x": (lambda image, m, how: affine(image, (1, m, 0, 0, 1, 0), how), (-0.99, 0.99)),
    "shear_y": (lambda image, m, how: affine(image, (1, 0, 0, m, 1, 0), how), (-0.99, 0.99)),
    "translate_x": (lambda image, m, how: affine(image, (1, 0, m, 0, 1, 0), how), range(-32, 33)),
    "translate_y": (lambda image, m, how: affine(image, (1, 0, 0, 0, 1, m), how), range(-32, 33)),
}


def photos(count, height, width, channels):
    """Return noise of several contrasts: over all levels, over few levels, and of one level."""
    random = np.random.default_rng(5)
    low = random.integers(0, 200, (count, 1, 1, channels))
    high = low + random.choice([1, 8, 56], (count, 1, 1, channels))
    images = random.integers(low, high, (count, height, width, channels))
    images[::3] = random.integers(0, 256, images[::3].shape)
    return images.astype(np.uint8)


def strengths(among, count):
    random = np.random.default_rng(6)
    if isinstance(among, range):
        return random.choice(among, count)
    return random.uniform(*among, count)


def by_pillow(images, operation, magnitudes):
    results = [
        np.asarray(operation(Image.fromarray(image.squeeze(2) if len(image.T) == 1 else image), m))
        for image, m in zip(images, magnitudes.tolist(), strict=True)
    ]
    return np.stack(results).reshape(images.shape)


def by_us(images, name, magnitudes, interpolation="nearest"):
    names = np.full((1, len(images)), name)
    return perform_operations(images, names, magnitudes[None].astype(float), FILL, interpolation)


def test_every_operation_is_compared():
    assert {*TONES, *MAPS, *FILTERS} == {*PILLOW, *AFFINE}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PILLOW)
def test_operation_is_pillows(name, shape):
    operation, among = PILLOW[name]
    # Round factors give whole levels, which float32 may just miss; truncation then loses one level.
    images, magnitudes = photos(60, *shape), strengths(among, 60).round(2)
    expected = by_pillow(images, operation, magnitudes)
    assert np.array_equal(by_us(images, name, magnitudes), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", AFFINE)
def test_warp_is_pillows(name, shape):
    operation, among = AFFINE[name]
    images, magnitudes = photos(60, *shape), strengths(among, 60)
    expected = by_pillow(images, lambda image, m: operation(image, m, NEAREST), magnitudes)
    wrong = by_us(images, name, magnitudes) != expected
    # At a position halfway between two pixels, either may be taken.
    assert wrong.mean() < 0.001
    assert not wrong.any() or name == "rotate"


@pytest.mark.parametrize("name", AFFINE)
def test_interpolated_warp_is_pillows_but_where_it_meets_the_fill(name):
    operation, among = AFFINE[name]
    images, magnitudes = photos(60, 32, 32, 3), strengths(among, 60)
    expected = by_pillow(images, lambda image, m: operation(image, m, BILINEAR), magnitudes)
    difference = by_us(images, name, magnitudes, "bilinear").astype(int) - expected
    # Pillow breaks off at the edge, where ours blends into the fill within a pixel: take the
    # pixels all of whose sources, at either image's rounding, lie inside.
    inside = by_us(np.ones_like(images), name, magnitudes, "bilinear") == 1
    assert inside.mean() > 0.3
    assert abs(difference[inside]).max() <= 1


def test_images_of_a_batch_do_not_mix():
    names = np.array([*PILLOW, *AFFINE, "identity"])
    magnitudes = np.array([1.5 if name in PILLOW else 0.2 for name in names])
    magnitudes[names == "posterize"] = 3
    images = photos(len(names), 12, 10, 3)
    together = perform_operations(images, names[None], magnitudes[None], FILL, "nearest")
    for i, name in enumerate(names):
        alone = by_us(images[i : i + 1], name, magnitudes[i : i + 1])
        assert np.array_equal(together[i], alone[0]), name
    assert np.array_equal(together[-1], images[-1])


def test_operations_are_applied_in_order():
    images = photos(2, 6, 7, 3)
    names = np.array([["invert", "solarize"], ["solarize", "invert"]])
    magnitudes = np.array([[0, 100], [100, 0]])
    first, second = perform_operations(images, names, magnitudes, FILL, "nearest")
    inverted = 255 - images[0]
    assert np.array_equal(first, np.where(inverted < 100, inverted, 255 - inverted))
    assert np.array_equal(second, 255 - np.where(images[1] < 100, images[1], 255 - images[1]))


def test_color_leaves_grey_images():
    images = photos(8, 6, 7, 1)
    assert np.array_equal(by_us(images, "color", np.full(8, 1.7)), images)


def test_arguments_are_not_written_to():
    images = photos(16, 8, 8, 3)
    before = images.copy()
    for name in ("identity", *TONES, *MAPS, *FILTERS):
        result = by_us(images, name, np.full(16, 2))
        assert not np.shares_memory(result, images)
    assert np.array_equal(images, before)
