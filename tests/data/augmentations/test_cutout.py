"""cutout covers one square in each image, whose centre may be anywhere."""

import numpy as np
import pytest

from cnntrain.data.augmentations.cutout import cut_squares, cutout, draw
from cnntrain.errors import SpecError

IMAGES = np.random.default_rng(0).integers(1, 256, (64, 9, 7, 3), np.uint8)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_square_is_cut_round_the_centre_as_far_as_it_lies_in_the_image(size):
    y, x = draw(64, (9, 7), np.random.default_rng(3))
    out, _ = cutout(IMAGES, np.zeros(64), 10, np.random.default_rng(3), size=size, fill=0)
    rows, columns = np.mgrid[:9, :7]
    for image, result, middle, centre in zip(IMAGES, out, y, x, strict=True):
        top, left = middle - size // 2, centre - size // 2
        inside = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)
        assert np.array_equal(result, np.where(inside[..., None], 0, image))


def test_square_has_the_size_asked_for_even_if_it_is_odd():
    middle = np.array([4]), np.array([3])
    for size in (3, 4, 5):
        assert (cut_squares(IMAGES[:1], *middle, size, 0) == 0).all(axis=-1).sum() == size**2


def test_square_shows_the_fill():
    out = cut_squares(IMAGES, *draw(64, (9, 7), np.random.default_rng(0)), 3, 77)
    assert (out[out != IMAGES] == 77).all()


def test_every_pixel_is_as_often_the_centre():
    y, x = draw(20_000, (5, 4), np.random.default_rng(0))
    counts = np.bincount(y * 4 + x, minlength=20)  # 1000 each, give or take 31
    assert abs(counts - 1000).max() < 150


def test_square_larger_than_the_images_is_refused():
    with pytest.raises(SpecError, match="cutout is 8 and the images are 9x7"):
        cutout(IMAGES, np.zeros(64), 10, np.random.default_rng(0), size=8, fill=0)
