"""Affine maps against SciPy in float64, and each kind of map against its name."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from cnntrain.data.augmentations.ops.geometry import (
    PIXELS,
    make_flip,
    make_rotation,
    make_shear,
    make_shift,
    make_zoom,
    warp_images,
)

MODES = {"nearest": "nearest", "reflect": "reflect", "constant": "grid-constant"}  # SciPy's names
SHAPES = [(9, 9, 3), (7, 12, 3), (12, 5, 1), (2, 3, 1)]
SHAPES += [(PIXELS // 40, 90, 1)]  # so large that it is warped in bands of rows


def images(shape, count=12):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def far(count, seed=1):
    """Return maps of every kind combined, many of which look far beyond the edges."""
    draw = np.random.default_rng(seed).uniform
    turned = make_rotation(draw(-180, 180, count)) @ make_shift(*draw(-15, 15, (2, count)))
    return turned @ make_shear(*draw(-0.8, 0.8, (2, count))) @ make_zoom(*draw(0.2, 3, (2, count)))


def reference(batch, matrices, mode, grey, order):
    """Return SciPy's result, one channel at a time, (B, H, W, C) float64."""
    centre = (np.array(batch.shape[1:3]) - 1) / 2
    result = np.empty(batch.shape)
    for image, matrix, out in zip(batch, matrices, result, strict=True):
        linear, moved = matrix[:2, :2], matrix[:2, 2]
        offset = moved + centre - linear @ centre
        for c in range(batch.shape[3]):
            channel = image[..., c].astype(float)
            out[..., c] = affine_transform(
                channel, linear, offset, order=order, mode=mode, cval=grey
            )
    return result


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fill", MODES)
def test_bilinear_is_scipys_to_one_grey_level(fill, shape):
    batch, matrices = images(shape), far(12)
    expected = reference(batch, matrices, MODES[fill], 77, order=1)
    assert np.abs(warp_images(batch, matrices, fill, 77) - expected).max() < 0.51


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fill", MODES)
def test_nearest_is_scipys(fill, shape):
    batch, matrices = images(shape), far(12)
    expected = reference(batch, matrices, MODES[fill], 77, order=0)
    # In single precision, a position halfway between two pixels may round to the other one.
    assert (warp_images(batch, matrices, fill, 77, "nearest") != expected).mean() < 1e-4


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("shape", [(8, 8, 3), (5, 6, 1)])
def test_maps_by_whole_pixels_are_exact(shape, interpolation):
    batch = images(shape)

    def seen(matrices):
        every = np.repeat(matrices, len(batch), axis=0)
        return warp_images(batch, every, "constant", 9, interpolation)

    assert np.array_equal(seen(make_rotation([0.0])), batch)
    assert np.array_equal(seen(make_rotation([180.0])), batch[:, ::-1, ::-1])
    assert np.array_equal(seen(make_flip([True])), batch[:, :, ::-1])
    assert np.array_equal(seen(make_flip([False])), batch)
    moved = np.full_like(batch, 9)
    moved[:, 2:, :-1] = batch[:, :-2, 1:]
    assert np.array_equal(seen(make_shift([2], [-1])), moved)


def test_a_quarter_turn_is_counter_clockwise():
    batch = images((8, 8, 3), 3)
    turned = warp_images(batch, make_rotation([90.0, 90.0, 90.0]), "nearest")
    assert np.array_equal(turned, np.rot90(batch, axes=(1, 2)))


def test_a_shear_slides_rows_right_and_columns_down():
    batch = images((5, 5, 1), 1)
    rows, columns = (
        warp_images(batch, make_shear(*by), "constant") for by in ([[0.0], [1]], [[1], [0.0]])
    )
    for line in range(5):
        by = line - 2
        kept = slice(max(by, 0), 5 + min(by, 0))
        source = slice(max(-by, 0), 5 + min(-by, 0))
        assert np.array_equal(rows[0, line, kept], batch[0, line, source])
        assert np.array_equal(columns[0, kept, line], batch[0, source, line])


def test_zoom_magnifies_by_its_factors():
    batch = images((6, 6, 3), 1)
    inner = batch[:, 2:4, 1:5]
    zoomed = warp_images(batch, make_zoom([3], [1.5]), "constant", 0, "nearest")
    assert np.array_equal(zoomed[:, :, [0, 5]], np.repeat(inner, 3, axis=1)[:, :, [0, 3]])


def test_products_of_maps_apply_from_left_to_right():
    batch = images((9, 9, 1), 1)
    turn, move = make_rotation([90.0]), make_shift([2], [0])
    one_by_one = warp_images(warp_images(batch, turn, "constant", 5), move, "constant", 5)
    assert np.array_equal(warp_images(batch, turn @ move, "constant", 5), one_by_one)


def test_every_group_of_a_batch_gets_its_own_images_and_maps():
    batch = images((64, 48, 1), 2 * PIXELS // (64 * 48) + 3)
    matrices = far(len(batch))
    given = batch.copy()
    alone = [
        warp_images(batch[i : i + 1], matrices[i : i + 1], "reflect")[0] for i in range(len(batch))
    ]
    assert np.array_equal(warp_images(batch, matrices, "reflect"), np.stack(alone))
    assert np.array_equal(batch, given)
