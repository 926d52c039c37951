"""`flip_crop` and `shift_flip` against a loop in numpy, and their properties."""

import numpy as np
import pytest

from cnntrain.data.augmentations import flip_crop, shift_flip
from cnntrain.data.augmentations.ops.batch_generator import BatchGenerator
from cnntrain.data.augmentations.ops.crops import pad_images


def random(seed=3):
    return np.random.default_rng(seed)


def images(count=64, height=6, width=5):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


MODES = {"black": "constant", "reflect": "reflect", "edge": "edge"}  # of np.pad


@pytest.mark.parametrize("border", MODES)
def test_flip_crop_is_a_window_of_the_padded_image(border):
    batch, pad = images(), 2
    down, right, flip = flip_crop.draw(64, random(), pad, 0.5, alternate=False)
    knobs = {"pad": pad, "flip": 0.5, "alternate": False, "border": border}
    out, _ = flip_crop.flip_crop(batch, np.zeros(64), 10, random(), **knobs)
    for image, result, y, x, mirror in zip(batch, out, down, right, flip, strict=True):
        padded = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], MODES[border])
        window = padded[y : y + 6, x : x + 5]
        assert np.array_equal(result, window[:, ::-1] if mirror else window)


@pytest.mark.parametrize("border", MODES)
@pytest.mark.parametrize(("tall", "wide"), [(0, 0), (2, 1), (5, 4), (13, 17)])
@pytest.mark.parametrize("shape", [(6, 5), (1, 2), (2, 1)])
def test_padding_is_that_of_numpy(border, tall, wide, shape):
    batch = images(3, *shape)
    expected = np.pad(batch, [(0, 0), (tall, tall), (wide, wide), (0, 0)], MODES[border])
    assert np.array_equal(pad_images(batch, tall, wide, border), expected)


def test_half_of_the_epoch_is_mirrored_and_no_other_image():
    batch, half = images(), np.arange(64) % 3 == 0
    knobs = {"pad": 0, "flip": 0.5, "alternate": True, "border": "black"}
    out, _ = flip_crop.flip_crop(
        batch, np.zeros(64), 10, BatchGenerator(np.random.Philox(3), half), **knobs
    )
    assert np.array_equal(out[half], batch[half][:, :, ::-1])
    assert np.array_equal(out[~half], batch[~half])


def test_shift_flip_repeats_the_edge():
    batch = images(height=20, width=10)
    down, right, flip = shift_flip.draw(64, random(), 4, 2, 0.5)
    out, _ = shift_flip.shift_flip(batch, np.zeros(64), 10, random(), shift=0.2, flip=0.5)
    for image, result, y, x, mirror in zip(batch, out, down, right, flip, strict=True):
        shifted = np.pad(image, [(4, 4), (2, 2), (0, 0)], "edge")[4 - y : 24 - y]
        window = shifted[:, 2 - x : 12 - x]
        assert np.array_equal(result, window[:, ::-1] if mirror else window)


@pytest.mark.parametrize(
    "draws",
    [
        lambda: flip_crop.draw(5000, random(), 4, 0.5, alternate=False),
        lambda: flip_crop.draw(5000, random(), 1, 0, alternate=False),
    ],
)
def test_offsets_reach_both_ends_evenly(draws):
    down, right, _ = draws()
    for offsets in (down, right):
        counts = np.bincount(offsets)
        assert counts.min() > 0.75 * 5000 / len(counts)
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.1


@pytest.mark.parametrize(("flip", "low", "high"), [(0, 0, 0), (0.5, 0.45, 0.55), (1, 1, 1)])
def test_flip_happens_as_often_as_asked(flip, low, high):
    assert low <= flip_crop.draw(5000, random(), 4, flip, alternate=False)[2].mean() <= high


@pytest.mark.parametrize(
    "augment",
    [
        lambda *batch: flip_crop.flip_crop(
            *batch, pad=4, flip=0.5, alternate=False, border="black"
        ),
        lambda *batch: shift_flip.shift_flip(*batch, shift=0.1, flip=0.5),
    ],
)
def test_type_shape_and_labels_stay_and_the_seed_decides(augment):
    batch, labels = images(), np.arange(64)
    out, same_labels = augment(batch, labels, 64, random())
    assert out.dtype == np.uint8
    assert out.shape == batch.shape
    assert np.array_equal(same_labels, labels)
    assert np.array_equal(out, augment(batch, labels, 64, random())[0])
    assert not np.array_equal(out, augment(batch, labels, 64, random(4))[0])
