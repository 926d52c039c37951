"""Noise has the right strength and shape, and grey levels end at black and white."""

import numpy as np

from cnntrain.data.augmentations import noise


def test_each_image_has_noise_of_its_own_drawn_strength():
    batch = np.full((40, 32, 32, 3), 128, np.uint8)
    stds, _ = noise.draw(batch.shape, np.random.default_rng(3), 20.0)
    out, _ = noise.noise(batch, np.zeros(40), 10, np.random.default_rng(3), std=20.0)
    added = out.astype(float) - 128
    # Rounding adds a variance of 1 / 12; of this many draws the deviation errs by some 1.3 %.
    expected = np.sqrt(stds**2 + 1 / 12)
    np.testing.assert_allclose(added.std(axis=(1, 2, 3))[stds > 1], expected[stds > 1], rtol=0.05)
    assert np.abs(added.mean(axis=(1, 2, 3))).max() < 1.5
    tail = (np.abs(added[stds > 5]) > 2 * stds[stds > 5, None, None, None]).mean()
    assert 0.03 < tail < 0.06  # of a normal distribution 4.6 %


def test_strengths_are_uniform_from_zero_to_std():
    stds, _ = noise.draw((5000, 1, 1, 1), np.random.default_rng(0), 20.0)
    counts = np.histogram(stds, 10, (0, 20))[0]
    assert counts.sum() == 5000
    assert counts.min() > 420


def test_noise_differs_between_pixels_and_channels():
    _, normal = noise.draw((1, 40, 40, 3), np.random.default_rng(0), 20.0)
    assert np.abs(np.corrcoef(normal.reshape(-1, 3).T) - np.eye(3)).max() < 0.1
    assert abs(np.corrcoef(normal[0, :, 1:, 0].ravel(), normal[0, :, :-1, 0].ravel())[0, 1]) < 0.1


def test_levels_are_rounded_and_stop_at_black_and_white():
    batch = np.array([0, 100, 255, 255], np.uint8).reshape(1, 2, 2, 1)
    normal = np.array([-3, 0.26, 1, -0.3], np.float32).reshape(batch.shape)
    assert noise.add_noise(batch, np.array([10], np.float32), normal).ravel().tolist() == [
        0,
        103,
        255,
        252,
    ]
