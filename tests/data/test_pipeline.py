"""Batch k is a function of (spec, k), and every example is seen as often as promised."""

import numpy as np
import pytest

from cnntrain.data import pipeline
from cnntrain.data.augmentations.flip_crop import flip_crop
from cnntrain.data.augmentations.mixup import mixup
from cnntrain.data.augmentations.none import none
from cnntrain.data.source import Examples


def examples(count=103):
    images = np.arange(count * 4 * 4 * 3, dtype=np.uint32).astype(np.uint8)
    return Examples(images.reshape(count, 4, 4, 3), np.arange(count, dtype=np.int32))


def augment(images, labels, num_classes, random):
    return flip_crop(images, labels, num_classes, random, pad=1, flip=0.5)


def batches(start=0, count=25, seed=0, augmentation=augment, steps_per_epoch=10):
    data = pipeline.make_training_batches(
        examples(), 103, 10, steps_per_epoch, augmentation, seed, start
    )
    return list(data.take(count).as_numpy_iterator())


def same(ours, theirs):
    return all(
        np.array_equal(x[i], y[i]) for x, y in zip(ours, theirs, strict=True) for i in (0, 1)
    )


def mix(images, labels, num_classes, random):
    return mixup(images, labels, num_classes, random, alpha=1.0)


@pytest.mark.parametrize("augmentation", [augment, mix])
@pytest.mark.parametrize("start", [1, 9, 10, 13, 20])
def test_batch_k_is_the_same_wherever_the_pipeline_starts(start, augmentation):
    whole = batches(augmentation=augmentation)
    assert same(batches(start, 25 - start, augmentation=augmentation), whole[start:])


def test_mixed_images_have_soft_labels_of_a_known_shape():
    data = pipeline.make_training_batches(examples(), 103, 10, 10, mix, 0)
    assert [tuple(spec.shape) for spec in data.element_spec] == [(10, 4, 4, 3), (10, 103)]
    for _, shares in data.take(3).as_numpy_iterator():
        assert shares.dtype == np.float32
        assert np.allclose(shares.sum(axis=1), 1, atol=1e-6)
        assert ((shares > 0).sum(axis=1) > 1).any()


def test_same_seed_gives_the_same_batches():
    assert same(batches(), batches())


def test_another_seed_gives_another_order_and_another_augmentation():
    assert not same(batches(augmentation=none), batches(augmentation=none, seed=1))
    still = examples()
    data = [
        pipeline.make_training_batches(still, 103, 103, 1, augment, seed)
        .take(1)
        .as_numpy_iterator()
        .next()
        for seed in (0, 1)
    ]
    ordered = [images[np.argsort(labels)] for images, labels in data]
    assert not np.array_equal(*ordered)


def test_no_example_comes_twice_in_an_epoch_and_the_left_out_differ():
    labels = np.concatenate([labels for _, labels in batches(count=20, augmentation=none)])
    first, second = set(labels[:100]), set(labels[100:])
    assert len(first) == len(second) == 100
    assert first != second


def test_images_keep_their_labels_and_their_type():
    data = examples()
    for images, labels in batches(augmentation=none):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
        assert np.array_equal(images, data.images[labels])


def test_every_epoch_is_shuffled_evenly():
    places = np.zeros(103)
    data = pipeline.make_training_batches(examples(), 103, 103, 1, none, seed=3)
    for _, labels in data.take(400).as_numpy_iterator():
        places[labels] += np.arange(103)
    # The mean place of each example is 51 +- 30 / sqrt(400): six standard errors are 9.
    assert abs(places / 400 - 51).max() < 9


@pytest.mark.parametrize("batch_size", [1, 10, 103, 200])
def test_evaluation_sees_every_example_exactly_once_in_order(batch_size):
    data = pipeline.make_evaluation_batches(examples(), batch_size).as_numpy_iterator()
    assert np.array_equal(np.concatenate([images for (images,) in data]), examples().images)
