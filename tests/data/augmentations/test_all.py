"""Promises that every augmentation keeps, for each option with the knobs of its YAML."""

import numpy as np
import pytest
import yaml

from cnntrain.data.augmentations.ops.batch_generator import BatchGenerator
from cnntrain.errors import SpecError
from cnntrain.spec.option_files import CONF
from cnntrain.spec.signatures import build_component

OPTIONS = sorted(file.stem for file in (CONF / "augmentation").glob("*.yaml"))
SHAPES = [(32, 32, 3), (28, 28, 1), (20, 12, 3)]
CLASSES, COUNT = 7, 48
EVERYWHERE = [
    pytest.param(option, shape, id=f"{option}-{'x'.join(map(str, shape))}")
    for option in OPTIONS
    for shape in SHAPES
]


def make_augmentation(option):
    file = CONF / "augmentation" / f"{option}.yaml"
    return build_component("augmentation", yaml.safe_load(file.read_text(encoding="utf-8")))


def augmentation(option):
    """Return an option's augmentation; a test ends, skipped, where it refuses its images."""
    augment = make_augmentation(option)

    def augment_or_skip(*batch):
        try:
            return augment(*batch)
        except SpecError as error:
            pytest.skip(f"{option} refuses these images: {error.given}")

    return augment_or_skip


def make_random(seed, count=COUNT):
    half = np.random.default_rng(seed).random(count) < 0.5
    return BatchGenerator(np.random.Philox(seed), half)


def images_of(shape, count=COUNT):
    """Return noise of less than full contrast, so that every change shows."""
    return np.random.default_rng(0).integers(30, 220, (count, *shape), np.uint8)


def labels_of(count=COUNT):
    return np.random.default_rng(1).integers(0, CLASSES, count).astype(np.int32)


def batches(option, shape, seed=3, count=COUNT, labels=None, times=1):
    """Return the results of an option for one batch, several times from one generator."""
    random, augment = make_random(seed, count), augmentation(option)
    labels = labels_of(count) if labels is None else labels
    return [augment(images_of(shape, count), labels, CLASSES, random) for _ in range(times)]


def changes(shape, results):
    """Whether a batch among the results of an option has other images than were put in."""
    return any(not np.array_equal(images, images_of(shape)) for images, _ in results)


@pytest.mark.parametrize("option", OPTIONS)
def test_colour_images_are_taken_and_changed_by_all_but_none(option):
    """Grey ones may be left alone, or refused."""
    shape, random, augment = SHAPES[0], make_random(3), make_augmentation(option)
    results = [augment(images_of(shape), labels_of(), CLASSES, random) for _ in range(8)]
    assert changes(shape, results) == (option != "none")


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_images_keep_their_shape_and_type(option, shape):
    for images, labels in batches(option, shape, times=3):
        assert images.dtype == np.uint8
        assert images.shape == (COUNT, *shape)
        assert len(labels) == COUNT


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_arguments_are_never_written_to(option, shape):
    images, labels, shares = images_of(shape), labels_of(), np.eye(CLASSES, dtype=np.float32)
    shares = shares[labels]
    for array in (images, labels, shares):
        array.flags.writeable = False
    for given in (labels, shares):
        augmentation(option)(images, given, CLASSES, make_random(3))
    assert np.array_equal(images, images_of(shape))


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_batch_depends_only_on_its_generator(option, shape):
    first, again, other = (batches(option, shape, seed, times=4) for seed in (3, 3, 4))
    for ours, theirs in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    same = [np.array_equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True)]
    assert all(same) != changes(shape, first)


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_next_batch_of_a_generator_is_drawn_anew(option, shape):
    results = batches(option, shape, times=4)
    first, *later = [images for images, _ in results]
    same = [np.array_equal(first, images) for images in later]
    assert all(same) != changes(shape, results)


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_labels_stay_or_become_soft_labels_that_sum_to_one(option, shape):
    for _, labels in batches(option, shape, times=3):
        if labels.dtype == np.int32:
            assert np.array_equal(labels, labels_of())
        else:
            assert_shares(labels)


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_soft_labels_are_treated_like_class_numbers(option, shape):
    whole = np.eye(CLASSES, dtype=np.float32)[labels_of()]
    (images, labels), (same, shares) = (
        batches(option, shape, labels=given)[0] for given in (labels_of(), whole)
    )
    assert np.array_equal(images, same)
    assert_shares(shares)
    assert np.allclose(shares, whole if labels.ndim == 1 else labels)
    soft = np.random.default_rng(2).dirichlet([1] * CLASSES, COUNT).astype(np.float32)
    assert_shares(batches(option, shape, labels=soft)[0][1])


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_kind_of_labels_is_the_same_in_every_batch(option, shape):
    """The pipeline fixes the types of its batches once."""
    kinds = {(labels.dtype, labels.shape) for _, labels in batches(option, shape, times=8)}
    assert len(kinds) == 1


@pytest.mark.parametrize(("option", "shape"), EVERYWHERE)
def test_batch_of_one_image_works(option, shape):
    for images, labels in batches(option, shape, count=1, times=5):
        assert images.shape == (1, *shape)
        assert len(labels) == 1


def assert_shares(labels):
    assert labels.dtype == np.float32
    assert labels.shape == (COUNT, CLASSES)
    assert labels.min() >= 0
    assert np.allclose(labels.sum(axis=1), 1, atol=1e-6)
