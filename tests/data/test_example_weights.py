"""The weights of examples go with them into batches, also where images are mixed."""

import dataclasses

import numpy as np
import pytest

from helpers.batches import CROP, MIX, NONE, make_batches, make_examples


@pytest.fixture
def weighed():
    """Return 103 examples with weights from 0.5 to 2.5, whose mean is not 1."""
    weights = np.random.default_rng(0).uniform(0.5, 2.5, 103).astype(np.float32)
    return dataclasses.replace(make_examples(), weights=weights)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("augmentation", [NONE, CROP], ids=["none", "crop"])
def test_weights_go_with_their_images_and_have_a_mean_of_1(weighed, augmentation, on_device):
    options = {"augmentation": augmentation, "on_device": on_device}
    block = make_batches(examples=weighed, **options).make_block(7, 4)
    expected = weighed.weights / weighed.weights.mean()
    assert block["weights"].shape == (4, 10)
    assert block["weights"].dtype == np.float32
    assert np.allclose(block["weights"], expected[block["labels"]], rtol=1e-6)
    plain = make_batches(**options).make_block(7, 4)
    assert plain.keys() == block.keys() - {"weights"}
    assert all(np.array_equal(plain[name], block[name]) for name in plain)


def test_weights_that_are_all_alike_are_1(weighed):
    alike = dataclasses.replace(weighed, weights=np.full(103, 7, np.float32))
    assert (make_batches(examples=alike).make_block(0, 2)["weights"] == 1).all()


@pytest.mark.parametrize("on_device", [False, True])
def test_the_parts_of_a_mixed_image_weigh_as_their_images_do(weighed, on_device):
    """The weighted loss of a mixed image is the mean of the weighted losses of both by shares."""
    options = {"augmentation": MIX, "on_device": on_device}
    plain = make_batches(**options).make_block(0, 3)
    block = make_batches(examples=weighed, **options).make_block(0, 3)
    weights = weighed.weights / weighed.weights.mean()
    shares = plain["labels"]  # each example is a class: the shares of its soft label are of images
    assert np.allclose(block["weights"], shares @ weights, rtol=1e-5)
    assert np.allclose(block["labels"].sum(axis=2), 1, atol=1e-6)
    losses = np.random.default_rng(1).random(103)
    found = block["weights"] * (block["labels"] @ losses)
    assert np.allclose(found, shares @ (weights * losses), rtol=1e-5)
    assert set(plain) == set(block) - {"weights"}
    for name in set(plain) - {"labels"}:
        assert np.array_equal(plain[name], block[name])
