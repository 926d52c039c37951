"""What every option of `augmentation` keeps to, whichever there are."""

import numpy as np
import pytest

from cnntrain import catalogue
from cnntrain.components import component

OPTIONS = sorted(file.stem for file in (catalogue.CONF / "augmentation").glob("*.yaml"))


def augmentation(option):
    return component(
        "augmentation", catalogue.load(catalogue.CONF / "augmentation" / f"{option}.yaml")
    )


def random(seed=3):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (24, 40, 3), (40, 24, 1)])
@pytest.mark.parametrize("option", OPTIONS)
def test_images_keep_shape_and_type_and_what_is_given_stays(option, shape):
    images = random(0).integers(0, 256, (16, *shape), np.uint8)
    labels = random(1).integers(0, 5, 16, np.int32)
    given = images.copy(), labels.copy()
    out, seen = augmentation(option)(images, labels, 5, random())
    assert out.dtype == np.uint8
    assert out.shape == images.shape
    assert np.array_equal(images, given[0])
    assert np.array_equal(labels, given[1])
    if seen.dtype == np.int32:
        assert np.array_equal(seen, labels)
    else:
        assert seen.dtype == np.float32
        np.testing.assert_allclose(seen.sum(axis=1), np.ones(16), rtol=1e-5)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_seed_decides(option):
    images = random(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    labels = random(1).integers(0, 5, 16, np.int32)
    first, again, other = (
        augmentation(option)(images, labels, 5, random(seed))[0] for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (option == "none")
