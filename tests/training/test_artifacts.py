"""What the page of a run shows is chosen from all that was predicted."""

import keras
import numpy as np
import pytest

from cnntrain.data.source import Examples, Splits
from cnntrain.training import artifacts


def predictions_of(count, classes, seed=0):
    """Log probabilities (N, classes) and labels (N,)."""
    random = np.random.default_rng(seed)
    return np.log(random.dirichlet([1] * classes, count)), random.integers(0, classes, count)


@pytest.mark.parametrize("classes", [2, 5, 12])
def test_best_guesses_are_the_classes_of_the_highest_probability(classes):
    log_probabilities, labels = predictions_of(40, classes)
    found = artifacts.select_top_classes(log_probabilities, labels)
    kept = min(classes, artifacts.TOP_CLASSES)
    assert found["classes"].shape == found["probabilities"].shape == (40, kept)
    assert np.array_equal(found["labels"], labels)
    for row, best, probable in zip(
        np.exp(log_probabilities), found["classes"], found["probabilities"], strict=True
    ):
        assert np.allclose(probable, sorted(row, reverse=True)[:kept])
        assert np.allclose(row[best], probable)


def splits_of(test, labels):
    empty = Examples(test, np.zeros(0, np.int32), np.zeros(0, int))
    part = Examples(test, labels.astype(np.int32), np.arange(len(labels)))
    names = tuple("abc")
    return Splits(empty, empty, part, class_names=names, origin={})


@pytest.mark.parametrize("count", [1, 24, 100])
def test_mistakes_are_the_most_confident_and_the_sample_is_spread_evenly(count):
    log_probabilities, labels = predictions_of(count, 3)
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), np.uint8)
    guesses = artifacts.select_top_classes(log_probabilities, labels)
    found = artifacts.choose_test_images(splits_of(images, labels), guesses)
    sample, mistakes = found["sample"], found["mistakes"]
    assert np.array_equal(found["sample_images"], images[sample])
    assert (len(sample), sample[0], sample[-1]) == (min(24, count), 0, count - 1)
    assert np.ptp(np.diff(sample)) <= 1 if count > 1 else True
    wrong = np.flatnonzero(log_probabilities.argmax(axis=1) != labels)
    surest = sorted(wrong, key=lambda row: -log_probabilities[row].max())
    assert mistakes.tolist() == surest[: artifacts.MISTAKES]
    assert len(mistakes) == 0 or np.array_equal(found["mistake_images"], images[mistakes])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((96, 96, 3), (96, 96, 3)),
        ((192, 96, 3), (96, 48, 3)),
        ((50, 400, 1), (12, 96, 1)),
        ((1, 1000, 1), (1, 96, 1)),
    ],
)
def test_large_images_are_shrunk_to_the_mean_of_what_they_show(shape, expected):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    shrunk = artifacts.shrink_images(images)
    assert shrunk.shape == (2, *expected)
    assert shrunk.dtype == np.uint8
    assert np.allclose(shrunk.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=1.5)


def test_filters_are_the_first_kernels_as_images():
    images = keras.Input((8, 8, 1))
    convolution = keras.layers.Conv2D(4, 3)
    network = keras.Model(images, convolution(images))
    found = artifacts.extract_filters(network, (8, 8, 1))["filters"]
    assert np.array_equal(found, np.moveaxis(np.asarray(convolution.kernel), -1, 0))
    dense = keras.layers.Dense(5)
    network = keras.Model(images, dense(keras.layers.Flatten()(images)))
    found = artifacts.extract_filters(network, (8, 8, 1))["filters"]
    assert found.shape == (5, 8, 8, 1)
    assert np.array_equal(found[2].ravel(), np.asarray(dense.kernel)[:, 2])
    deep = keras.Input((8, 8, 7))
    assert artifacts.extract_filters(keras.Model(deep, keras.layers.Conv2D(4, 3)(deep)), ()) == {}
