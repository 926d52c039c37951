"""Maps of colours against Pillow, against a loop in float64, and by what they preserve."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from cnntrain.data.augmentations.color import color
from cnntrain.data.augmentations.ops import photometry
from cnntrain.data.augmentations.ops.photometry import LUMA, STEPS, distort_colours, draw

ENHANCE = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]


def images(count=8, shape=(6, 9, 3)):
    """Return colours neither dark nor bright, so that little is clipped."""
    return np.random.default_rng(0).integers(60, 190, (count, *shape), np.uint8)


def one(batch, step, change):
    """Return the batch with one of the STEPS changed and all others left."""
    changes = np.zeros((len(batch), len(STEPS)))
    changes[:, STEPS.index(step)] = change
    return distort_colours(batch, changes, np.tile(np.arange(4), (len(batch), 1)))


@pytest.mark.parametrize("change", [-0.4, 0.3])
@pytest.mark.parametrize(("step", "enhance"), list(zip(STEPS, ENHANCE, strict=False)))
def test_brightness_contrast_and_saturation_are_pillows(step, enhance, change):
    batch = images()
    expected = [np.asarray(enhance(Image.fromarray(i)).enhance(1 + change)) for i in batch]
    # Pillow rounds greys, and truncates results instead of rounding them.
    assert np.abs(one(batch, step, change).astype(int) - np.stack(expected)).max() <= 1


def test_hue_is_a_turn_in_yiq():
    """Python's own YIQ has the same axes with other digits."""
    batch = images(2)
    turned = one(batch, "hue", 0.1)
    for before, after in zip(batch.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        y, i, q = colorsys.rgb_to_yiq(*before / 255)
        chroma = complex(i, q) * np.exp(-0.2j * np.pi)
        expected = colorsys.yiq_to_rgb(y, chroma.real, chroma.imag)
        assert np.abs(after - 255 * np.array(expected)).max() < 4


def test_hue_keeps_greys_and_luma_and_comes_round():
    batch = images() // 3 + 85  # so that no hue of them is clipped
    assert np.abs((one(batch, "hue", 0.15) - batch.astype(float)) @ LUMA).max() < 1
    assert np.array_equal(one(batch, "hue", 1.0), batch)
    grey = np.repeat(batch[..., :1], 3, axis=3)
    assert np.array_equal(one(grey, "hue", 0.3), grey)


def test_a_third_of_a_turn_takes_red_towards_green():
    red = np.full((1, 1, 1, 3), [140, 100, 100], np.uint8)
    assert one(red, "hue", 1 / 3)[0, 0, 0].argmax() == 1


def loop(image, changes, order):
    """Apply the steps one after another to one image in float64, and clip at the end."""
    colours = image.astype(float)
    for step in order:
        factor = 1 + changes[step]
        if step == 0:
            colours = colours * factor
        elif step == 1:
            colours = (colours - (colours @ LUMA).mean()) * factor + (colours @ LUMA).mean()
        elif step == 2:
            grey = (colours @ LUMA)[..., None]
            colours = grey + factor * (colours - grey)
        else:
            colours = colours @ photometry.make_hue_rotations(changes[3:])[0]
    return np.clip(colours, 0, 255)


def test_steps_are_done_in_the_order_drawn_and_clipped_at_the_end():
    batch = np.random.default_rng(1).integers(0, 256, (48, 5, 4, 3), np.uint8)
    changes, order = draw(48, np.random.default_rng(3), (0.5, 0.4, 0.6, 0.2))
    knobs = {"brightness": 0.5, "contrast": 0.4, "saturation": 0.6, "hue": 0.2}
    out, _ = color(batch, np.zeros(48), 10, np.random.default_rng(3), **knobs)
    for image, result, *drawn in zip(batch, out, changes, order, strict=True):
        assert np.abs(result - loop(image, *drawn)).max() < 0.51


def test_one_channel_changes_in_brightness_and_contrast_alone():
    batch = images(4, (5, 5, 1))
    assert np.array_equal(one(batch, "hue", 0.2), batch)
    assert np.array_equal(one(batch, "saturation", 0.5), batch)
    assert np.array_equal(one(batch, "brightness", -0.5), np.floor(batch / 2 + 0.5))
    mean = batch.mean(axis=(1, 2, 3), keepdims=True)
    assert np.abs(one(batch, "contrast", 0.3) - (1.3 * (batch - mean) + mean)).max() < 0.51


def test_changes_are_even_in_their_ranges_and_orders_equally_likely():
    ranges = (0.5, 0.4, 0.3, 0.2)
    changes, order = draw(6000, np.random.default_rng(0), ranges)
    for even in (changes / ranges).T:
        assert np.histogram(even, 10, (-1, 1))[0].min() > 500
    orders = np.unique(order, axis=0, return_counts=True)[1]
    assert len(orders) == 24
    assert orders.min() > 180
