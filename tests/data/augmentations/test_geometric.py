"""`geometric` against Keras' formula, computed with SciPy in float64; and its draws."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from cnntrain.data.augmentations import geometric
from cnntrain.data.augmentations.geometric import AffineParameters

KNOBS = {"rotation": 40.0, "shift": 0.2, "shear": 0.5, "zoom": 0.2, "flip": 0.5}


def draw(count, seed=3, **knobs):
    return geometric.draw(count, np.random.default_rng(seed), **KNOBS | knobs)


def keras(image, drawn, mode):
    """Transform as Keras' ImageDataGenerator does; positions are (x, y, 1), as there."""
    height, width, _ = image.shape
    cos, sin = np.cos(np.deg2rad(drawn.degrees)), np.sin(np.deg2rad(drawn.degrees))
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, -drawn.right * width], [0, 1, -drawn.down * height], [0, 0, 1]])
    shear = np.array([[1, -np.sin(drawn.angles), 0], [0, np.cos(drawn.angles), 0], [0, 0, 1]])
    matrix = rotation @ shift @ shear @ np.diag([drawn.wide, drawn.tall, 1])
    to_centre, back = np.eye(3), np.eye(3)
    to_centre[:2, 2] = (width - 1) / 2, (height - 1) / 2
    back[:2, 2] = -to_centre[:2, 2]
    matrix = (to_centre @ matrix @ back)[[1, 0, 2]][:, [1, 0, 2]]  # now of (y, x, 1)
    channels = [
        affine_transform(channel, matrix[:2, :2], matrix[:2, 2], order=1, mode=mode)
        for channel in image.astype(float).transpose(2, 0, 1)
    ]
    result = np.stack(channels, axis=-1)
    return result[:, ::-1] if drawn.flips else result


@pytest.mark.parametrize("fill", ["nearest", "reflect", "constant"])
def test_images_equal_those_of_keras(fill):
    batch = np.random.default_rng(0).integers(1, 256, (40, 11, 14, 3), np.uint8)
    drawn, random = draw(40), np.random.default_rng(3)
    out, _ = geometric.geometric(batch, np.zeros(40), 10, random, **KNOBS, fill=fill)
    for i, image in enumerate(batch):
        expected = keras(image, AffineParameters(*(values[i] for values in drawn)), fill)
        # SciPy's constant begins right beyond the centres of the outermost pixels; ours blends in.
        inside = expected > 0 if fill == "constant" else np.ones(image.shape, bool)
        assert inside.mean() > 0.3
        assert np.abs(out[i] - expected)[inside].max() < 0.51


def test_draws_fill_their_ranges_evenly_and_apart():
    drawn = draw(5000)
    ranges = {"degrees": 40, "down": 0.2, "right": 0.2, "angles": 0.5, "tall": 0.2, "wide": 0.2}
    values = [(getattr(drawn, name) - (name in ("tall", "wide"))) / r for name, r in ranges.items()]
    for even in values:
        counts = np.histogram(even, 10, (-1, 1))[0]
        assert counts.sum() == 5000
        assert counts.min() > 420
    assert np.abs(np.corrcoef([*values, drawn.flips]) - np.eye(7)).max() < 0.06
    assert 0.47 < drawn.flips.mean() < 0.53


def test_images_stay_with_every_knob_off():
    batch = np.random.default_rng(0).integers(0, 256, (9, 7, 10, 1), np.uint8)
    off = dict.fromkeys(KNOBS, 0.0)
    random = np.random.default_rng(0)
    out, _ = geometric.geometric(batch, np.zeros(9), 10, random, **off, fill="constant")
    assert np.array_equal(out, batch)
