"""`inception_crop`: crops against a resampling in numpy, draws, and each part turned off."""

import numpy as np
import pytest

from cnntrain.data.augmentations import inception_crop
from cnntrain.data.augmentations.ops import photometry
from cnntrain.errors import SpecError

METHODS = ("nearest", "bilinear", "bicubic")
CROP = {"area": 0.08, "aspect": 4 / 3, "interpolations": METHODS, "flip": 0.5}
STILL = dict.fromkeys(photometry.STEPS, 0.0)


def augmented(batch, **knobs):
    random = np.random.default_rng(3)
    knobs = CROP | STILL | knobs
    return inception_crop.inception_crop(batch, np.zeros(len(batch)), 10, random, **knobs)[0]


def draw(count, size, **knobs):
    return inception_crop.draw(count, size, np.random.default_rng(3), **CROP | knobs)


def images(count, *shape):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def cubic(x):
    """Return Keys' cubic kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


KERNELS = {
    "nearest": lambda x: (x > -0.5) & (x <= 0.5),
    "bilinear": lambda x: np.maximum(0, 1 - np.abs(x)),
    "bicubic": cubic,
}


def along(values, first, last, kernel):
    """Resample the first axis of `values` from `first` to `last` into the same number of values."""
    length = len(values)
    places = first + (np.arange(length) + 0.5) * (last - first) / length - 0.5
    weights = kernel(np.arange(length) - places[:, None])
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(np.tensordot(weights, values, 1), 0, 255)


def resampled(image, box, method):
    left, top, right, bottom = box
    wide = along(image.swapaxes(0, 1), left, right, KERNELS[method]).swapaxes(0, 1)
    return along(wide, top, bottom, KERNELS[method])


DIAGONALS = [(x, y, x, y) for x in (-1, 1) for y in (-1, 1)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(24, 24, 3), (17, 23, 1)])
def test_crops_are_resized_by_the_named_interpolation(method, shape):
    batch = images(30, *shape)
    boxes, _, flips = draw(30, shape[:2], interpolations=[method])
    out = augmented(batch, interpolations=[method])
    for image, result, box, flip in zip(batch, out, boxes, flips, strict=True):
        seen = result[:, ::-1] if flip else result
        # Halfway between two pixels, either is the nearest.
        either = [resampled(image, box + 1e-6 * np.array(d), method) for d in DIAGONALS]
        # Pillow rounds twice; the weights of its second pass sum to 1.25 in absolute value.
        assert np.abs(seen - np.stack(either)).min(axis=0).max() < 1.2


def test_areas_are_even_and_aspects_within_their_limits():
    boxes, _, _ = draw(5000, (200, 200))
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert np.abs(np.log(width / height)).max() < np.log(4 / 3) + 0.05
    assert np.abs(np.log(width / height).mean()) < 0.01
    share = width * height / 200**2
    assert share.min() == pytest.approx(0.08, abs=0.005)
    # Up to 3/4 of the image every aspect fits, so that nothing is drawn again.
    counts = np.histogram(share, 6, (0.08, 0.74))[0]
    assert counts.min() > 0.88 * counts.mean()
    assert share.max() > 0.95
    # Crops that do not fit are drawn again, not cut.
    assert ((width == 200) | (height == 200)).mean() < 0.02


def test_crops_lie_everywhere_and_never_reach_over_the_edge():
    boxes, methods, flips = draw(5000, (32, 48))
    left, top, right, bottom = boxes.T
    assert (left.min(), top.min(), right.max(), bottom.max()) == (0, 0, 48, 32)
    assert (left < right).all()
    assert (top < bottom).all()
    for before, behind in ((left, 48 - right), (top, 32 - bottom)):
        assert abs(before.mean() - behind.mean()) < 0.4
    counts = np.unique(methods, return_counts=True)[1]
    assert len(counts) == 3
    assert counts.min() > 1550
    assert 0.47 < flips.mean() < 0.53


@pytest.mark.parametrize("shape", [(16, 16, 3), (11, 19, 3), (9, 12, 1)])
def test_each_part_can_be_turned_off(shape):
    batch = images(12, *shape)
    assert np.array_equal(augmented(batch, area=1.0, aspect=1.0, flip=0.0), batch)
    assert np.array_equal(augmented(batch, area=1.0, aspect=1.0, flip=1.0), batch[:, :, ::-1])


def test_colours_are_distorted_after_the_crop():
    batch = images(12, 10, 10, 3)
    ranges = {"brightness": 0.5, "contrast": 0.4, "saturation": 0.6, "hue": 0.2}
    random = np.random.default_rng(3)
    inception_crop.draw(12, (10, 10), random, **CROP)
    changes, order = photometry.draw(12, random, tuple(ranges.values()))
    expected = photometry.distort_colours(augmented(batch), changes, order)
    assert np.array_equal(augmented(batch, **ranges), expected)


def test_the_smallest_of_crops_is_one_pixel():
    assert augmented(images(20, 5, 5, 3), area=0.0, aspect=100.0).shape == (20, 5, 5, 3)


def test_no_interpolation_is_refused():
    with pytest.raises(SpecError, match="interpolations"):
        augmented(images(1, 5, 5, 3), interpolations=())
