"""The first layer against numpy; statistics come from the training split only."""

import numpy as np
import pytest

from cnntrain.data.source import Examples
from cnntrain.training.networks.normalisation import build_normalisation

RANDOM = np.random.default_rng(0)
TRAIN = Examples(RANDOM.integers(0, 200, (50, 6, 5, 3), np.uint8), np.zeros(50, np.int32))
OTHER = RANDOM.integers(100, 256, (10, 6, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rescale", OTHER / 255),
        (
            "standardise",
            (OTHER - TRAIN.images.mean(axis=(0, 1, 2))) / TRAIN.images.std(axis=(0, 1, 2)),
        ),
        ("mean_rgb", OTHER - TRAIN.images.mean(axis=(0, 1, 2))),
        ("pixel_mean", (OTHER - TRAIN.images.mean(axis=0)) / 255),
    ],
)
def test_layer_is_the_formula(kind, expected):
    layer = build_normalisation(kind, TRAIN)
    out = layer(OTHER)
    assert out.dtype == "float32"
    assert np.allclose(out, expected, atol=1e-5)
    assert not layer.weights


def test_a_channel_of_one_value_stays_finite():
    flat = Examples(np.full((4, 3, 3, 1), 7, np.uint8), np.zeros(4, np.int32))
    assert np.isfinite(np.asarray(build_normalisation("standardise", flat)(flat.images))).all()
