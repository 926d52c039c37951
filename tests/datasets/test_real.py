"""The real data, where it lies: official splits, counts and pixels."""

import numpy as np
import pytest


def test_cifar10_is_the_real_one(spec, cifar10_dir):
    splits = spec("dataset=cifar10").dataset(cifar10_dir, None)
    assert [len(part) for _, part in splits.items()] == [45_000, 5_000, 10_000]
    assert splits.image_shape == (32, 32, 3)
    assert splits.class_names[:3] == ("airplane", "automobile", "bird")
    assert splits.origin["test"] == "official"
    whole = np.concatenate([splits.train.images, splits.valid.images])
    assert whole.mean(axis=(0, 1, 2)) == pytest.approx([125.307, 122.950, 113.865], abs=0.001)
    for name, count in [("train", 4500), ("valid", 500), ("test", 1000)]:
        assert (np.bincount(getattr(splits, name).labels) == count).all()


@pytest.fixture(scope="module")
def mnist_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


def test_mnist_is_prepared_from_its_archives_without_a_network(spec, archives, mnist_dir):
    splits = spec("dataset=mnist").dataset(mnist_dir, archives)
    assert [len(part) for _, part in splits.items()] == [55_000, 5_000, 10_000]
    assert splits.image_shape == (28, 28, 1)
    counts = np.bincount(np.concatenate([splits.train.labels, splits.valid.labels]))
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    again = spec("dataset=mnist").dataset(mnist_dir, None)  # prepared now: no archives needed
    assert np.array_equal(again.test.images, splits.test.images)
