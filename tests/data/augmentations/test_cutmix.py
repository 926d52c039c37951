"""CutMix against a loop over pixels; the share of a label is the share of the pixels."""

import numpy as np
import pytest

from cnntrain.data.augmentations.cutmix import cutmix, draw

HEIGHT, WIDTH = 11, 8
# Image k has the grey level k, so that pixels show which image they come from.
IMAGES = np.arange(24, dtype=np.uint8)[:, None, None, None].repeat(HEIGHT, 1).repeat(WIDTH, 2)
LABELS = np.arange(24, dtype=np.int32)


def random(seed=3):
    return np.random.default_rng(seed)


def mixed(seed, probability=1.0, alpha=1.0):
    return cutmix(IMAGES, LABELS, 24, random(seed), alpha=alpha, probability=probability)


@pytest.mark.parametrize("seed", range(12))
def test_soft_label_is_the_share_of_pixels_from_each_image(seed):
    images, labels = mixed(seed)
    for image, shares in zip(images, labels, strict=True):
        counts = np.bincount(image.ravel(), minlength=24)
        assert np.allclose(shares, counts / (HEIGHT * WIDTH), atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_rectangle_comes_from_the_same_place_of_the_partner(seed):
    photos = random(0).integers(0, 256, (24, HEIGHT, WIDTH, 3), np.uint8)
    partners, (top, bottom, left, right) = draw(24, (HEIGHT, WIDTH), random(seed), 1.0, 1.0)
    images, _ = cutmix(photos, LABELS, 24, random(seed), alpha=1.0, probability=1.0)
    for number, image in enumerate(images):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                inside = top <= y < bottom and left <= x < right
                source = photos[partners[number] if inside else number]
                assert np.array_equal(image[y, x], source[y, x])


def boxes(count=6000, shape=(40, 40), alpha=1.0, probability=1.0):
    generator = random()
    return np.array([draw(2, shape, generator, alpha, probability)[1] for _ in range(count)])


def test_rectangle_is_clipped_to_the_image_and_reaches_every_edge():
    top, bottom, left, right = boxes().T
    for begin, end in ((top, bottom), (left, right)):
        assert begin.min() == 0
        assert end.max() == 40
        assert (end >= begin).all()


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_heights_are_distributed_as_in_the_paper(alpha):
    """The reference draws sides of sqrt(1 - lambda) of the image's, then clips them."""
    ours, generator = boxes(shape=(400, 400), alpha=alpha), random(7)
    length = 400 * np.sqrt(1 - generator.beta(alpha, alpha, 6000))
    middle = generator.uniform(0, 400, 6000)
    theirs = np.minimum(400, middle + length / 2) - np.maximum(0, middle - length / 2)
    deciles = np.linspace(0.1, 0.9, 9)
    heights = ours[:, 1] - ours[:, 0]
    assert abs(np.quantile(heights, deciles) - np.quantile(theirs, deciles)).max() < 12


def test_both_sides_are_the_same_part_of_the_image():
    top, bottom, left, right = boxes(shape=(300, 600), alpha=1e6).T  # lambda is one half
    assert (bottom - top).max() == int(300 * 0.5**0.5)
    assert (right - left).max() == int(600 * 0.5**0.5)


@pytest.mark.parametrize("probability", [0, 0.3, 1])
def test_batches_are_mixed_as_often_as_asked(probability):
    tops = boxes(3000, (400, 400), probability=probability)
    assert (tops[:, 1] > 0).mean() == pytest.approx(probability, abs=0.03)


def test_batch_that_is_not_mixed_keeps_its_images_and_classes():
    images, labels = mixed(3, probability=0)
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, np.eye(24, dtype=np.float32))
