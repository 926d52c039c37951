"""`alexnet`: crops against Pillow's enlarged images, light against the formula, and draws."""

import numpy as np
import pytest
from PIL import Image

from cnntrain.data.augmentations import alexnet
from cnntrain.spec import option_files

KNOBS = option_files.load_option(option_files.CONF / "augmentation" / "alexnet.yaml")
del KNOBS["name"]


def augmented(batch, **knobs):
    random = np.random.default_rng(3)
    return alexnet.alexnet(batch, np.zeros(len(batch)), 10, random, **KNOBS | knobs)[0]


def draw(count, size, large, **knobs):
    random = np.random.default_rng(3)
    return alexnet.draw(count, random, size, large, **{"flip": 0.5, "light": 0.1} | knobs)


@pytest.mark.parametrize("shape", [(28, 21, 3), (16, 20, 1)])
def test_crops_are_windows_of_enlarged_images(shape):
    batch = np.random.default_rng(0).integers(0, 256, (20, *shape), np.uint8)
    height, width = shape[:2]
    large = round(height / 0.875), round(width / 0.875)
    down, right, flips, _ = draw(20, shape[:2], large)
    out = augmented(batch, light=0.0)
    for image, result, y, x, flip in zip(batch, out, down, right, flips, strict=True):
        picture = Image.fromarray(image.squeeze()).resize(large[::-1], Image.Resampling.BILINEAR)
        window = np.asarray(picture).reshape(*large, -1)[y : y + height, x : x + width]
        expected = window[:, ::-1] if flip else window
        assert np.abs(result.astype(int) - expected).max() <= 1


def test_light_is_the_papers_sum_over_eigenvectors():
    batch = np.full((30, 4, 5, 3), 128, np.uint8)
    *_, amounts = draw(30, (4, 5), (4, 5))
    out = augmented(batch, crop=None)
    vectors, values = np.array(KNOBS["eigenvectors"]), np.array(KNOBS["eigenvalues"])
    for result, alphas in zip(out, amounts, strict=True):
        added = sum(vectors[:, i] * alphas[i] * values[i] for i in range(3))
        assert np.abs(result - (128 + 255 * added)).max() < 0.51


def test_the_constants_are_axes_of_colour():
    vectors, values = np.array(KNOBS["eigenvectors"]), np.array(KNOBS["eigenvalues"])
    assert np.abs(vectors.T @ vectors - np.eye(3)).max() < 2e-3
    assert np.ptp(vectors[:, 0]) < 0.02  # the first axis is that of brightness
    assert values.tolist() == sorted(values, reverse=True)


def test_places_are_even_and_light_is_normal():
    down, right, flips, amounts = draw(6000, (32, 48), (37, 55))
    for offsets, choices in ((down, 6), (right, 8)):
        counts = np.bincount(offsets, minlength=choices)
        assert len(counts) == choices
        assert counts.min() > 0.85 * 6000 / choices
    assert 0.47 < flips.mean() < 0.53
    assert np.abs(amounts.std(axis=0) - 0.1).max() < 0.005
    assert np.abs(np.corrcoef([down, right, *amounts.T]) - np.eye(5)).max() < 0.06


def test_each_part_can_be_turned_off():
    batch = np.random.default_rng(0).integers(0, 256, (8, 9, 7, 3), np.uint8)
    assert np.array_equal(augmented(batch, crop=None, flip=0.0, light=0.0), batch)
    assert np.array_equal(augmented(batch, crop=None, flip=1.0, light=0.0), batch[:, :, ::-1])
