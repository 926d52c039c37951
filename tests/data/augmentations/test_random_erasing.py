"""Random erasing: how often, how large, of which aspect, where, and what is painted."""

import numpy as np
import pytest

from cnntrain.data.augmentations.random_erasing import (
    draw,
    draw_fill,
    erase_rectangles,
    random_erasing,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (200, 20, 16, 3), np.uint8)
PAPER = {"probability": 0.5, "area": (0.02, 0.4), "aspect": (0.3, 1 / 0.3)}


def random(seed=3):
    return np.random.default_rng(seed)


def drawn(count=20_000, shape=(64, 64), **changed):
    return draw((count, *shape), random(), **PAPER | changed)


def erased(fill, images=IMAGES, value=9):
    return random_erasing(images, np.zeros(200), 10, random(), fill=fill, value=value, **PAPER)[0]


def test_rectangles_are_painted_and_nothing_else():
    boxes, content = draw((200, 20, 16), random(), **PAPER), np.full((1, 1, 1, 1), 9, np.uint8)
    expected = IMAGES.copy()
    for image, top, left, tall, wide in zip(expected, *boxes, strict=True):
        for row in range(top, top + tall):
            for column in range(left, left + wide):
                image[row, column] = 9
    assert np.array_equal(erase_rectangles(IMAGES, *boxes, content), expected)
    assert np.array_equal(erased("constant"), expected)


@pytest.mark.parametrize("probability", [0, 0.25, 1])
def test_as_many_images_are_erased_as_asked(probability):
    _, _, tall, wide = drawn(probability=probability)
    assert (tall * wide > 0).mean() == pytest.approx(probability, abs=0.015)


def test_area_and_aspect_are_even_between_their_ends():
    """Every rectangle fits here; with the paper's ranges long ones are drawn again."""
    _, _, tall, wide = drawn(shape=(400, 400), probability=1, area=(0.1, 0.3), aspect=(0.5, 2))
    for values, low, high in ((tall * wide / 400**2, 0.1, 0.3), (tall / wide, 0.5, 2)):
        assert values.min() == pytest.approx(low, rel=0.02)
        assert values.max() == pytest.approx(high, rel=0.02)
        deciles = np.histogram(values, 10, (low, high))[0] / len(values)
        assert abs(deciles - 0.1).max() < 0.012


@pytest.mark.parametrize("shape", [(64, 64), (20, 16), (12, 60)])
def test_rectangle_lies_within_the_image_and_reaches_every_edge(shape):
    top, left, tall, wide = drawn(shape=shape, probability=1)
    for begin, length, size in ((top, tall, shape[0]), (left, wide, shape[1])):
        assert begin.min() == 0
        assert (begin + length).max() == size
        assert length.max() <= size


def test_places_are_even_for_rectangles_of_a_size():
    top, _, tall, _ = drawn(probability=1, area=(0.25, 0.25), aspect=(1, 1))
    assert set(tall) == {32}
    counts = np.bincount(top, minlength=33)
    assert abs(counts / 20_000 * 33 - 1).max() < 0.25


def test_image_that_no_rectangle_fits_stays_whole():
    assert drawn(probability=1, area=(0.5, 0.5), aspect=(3, 3))[2].max() == 0


def test_noise_is_drawn_for_every_pixel_and_a_color_for_every_rectangle():
    noise, color = (draw_fill(IMAGES.shape, random(), fill, 9) for fill in ("noise", "color"))
    assert noise.shape == IMAGES.shape
    assert color.shape == (200, 1, 1, 3)
    for content in (noise, color):
        assert content.dtype == np.uint8
        assert (content.min(), content.max()) == (0, 255)
    assert abs(np.bincount(noise.ravel()) / noise.size * 256 - 1).max() < 0.25


@pytest.mark.parametrize("fill", ["constant", "noise", "color"])
def test_erased_rectangles_do_not_depend_on_their_fill(fill):
    boxes = draw((200, 20, 16), random(), **PAPER)
    inside = erase_rectangles(np.zeros_like(IMAGES), *boxes, np.ones((1, 1, 1, 1), np.uint8)) == 1
    out = erased(fill)
    assert np.array_equal(out[~inside], IMAGES[~inside])
    assert (out[inside] != IMAGES[inside]).mean() > 0.98
