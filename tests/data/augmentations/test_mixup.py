"""mixup against the formula in float64: pixels to half a grey level, labels exactly."""

import numpy as np
import pytest

from cnntrain.data.augmentations.mixup import blend_images, draw, mixup

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 9, 7, 3), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 5, 32).astype(np.int32)


def random(seed=3):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_images_and_labels_are_blended_with_those_of_the_partners(alpha):
    partners, share = draw(32, random(), alpha)
    images, labels = mixup(IMAGES, LABELS, 5, random(), alpha=alpha)
    exact = (1 - share) * IMAGES.astype(float) + share * IMAGES[partners]
    assert abs(images - exact).max() <= 0.5 + 1e-4, "rounded, not cut off"
    one_hot = np.eye(5)[LABELS]
    assert np.allclose(labels, (1 - share) * one_hot + share * one_hot[partners], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1 / 3, 0.5, 0.999, 1.0])
def test_blend_of_equal_pixels_is_that_pixel(share):
    greys = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(2, axis=0)
    assert np.array_equal(blend_images(greys, np.array([1, 0]), share), greys)


def test_blend_darkens_no_batch():
    """Truncating instead of rounding would take half a grey level away at each mixing."""
    partners, _ = draw(32, random(), 1.0)
    means = [blend_images(IMAGES, partners, share).mean() for share in (0.13, 0.37, 0.71)]
    assert np.allclose(means, IMAGES.mean(), atol=0.05)


@pytest.mark.parametrize(("alpha", "variance"), [(1.0, 1 / 12), (0.2, 1 / (4 * 1.4))])
def test_shares_are_drawn_from_beta(alpha, variance):
    generator = random()
    shares = np.array([draw(2, generator, alpha)[1] for _ in range(4000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(variance, rel=0.06)


def test_partners_are_a_permutation_and_all_are_as_likely():
    generator = random()
    drawn = np.array([draw(4, generator, 1.0)[0] for _ in range(4000)])
    assert (np.sort(drawn, axis=1) == np.arange(4)).all()
    for place in range(4):
        assert abs(np.bincount(drawn[:, place]) / 4000 - 0.25).max() < 0.03


def test_soft_labels_can_be_mixed_again():
    once = mixup(IMAGES, LABELS, 5, random(3), alpha=1.0)
    partners, share = draw(32, random(4), 1.0)
    _, twice = mixup(*once, 5, random(4), alpha=1.0)
    assert np.allclose(twice, (1 - share) * once[1] + share * once[1][partners], atol=1e-6)
