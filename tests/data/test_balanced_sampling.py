"""Balanced sampling: classes come equally often, and the examples of each in turn."""

import numpy as np
import pytest

from cnntrain.data import pipeline
from cnntrain.data.source import Examples
from helpers.batches import CROP, NONE, STEPS, list_batches, make_examples, same


def play_decks(labels, count, epochs):
    """Return how often each example may be drawn in each epoch: classes in turn, decks played out.

    It is a second implementation, of counts alone: the least and the most draws (epochs, n).
    """
    classes = [*np.unique(labels)]
    least, most = np.zeros((2, epochs, len(labels)), int)
    for label in classes:
        size = int((labels == label).sum())
        for epoch in range(epochs):
            begins, ends = (draws // len(classes) for draws in (epoch * count, (epoch + 1) * count))
            # A class has begun its turn or not: one draw more or less at either end.
            full = max(0, ends // size - -(-(begins + 1) // size))
            over = -(-(ends + 1) // size) - begins // size
            least[epoch, labels == label], most[epoch, labels == label] = full, over
    return least, most


@pytest.mark.parametrize("sizes", [[90, 10, 3], [1, 1, 40], [7], [5] * 8, [2, 300]])
def test_balanced_epochs_have_each_class_equally_often(sizes):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    count, epochs = 64, 9
    least, most = play_decks(labels, count, epochs)
    total = np.zeros(len(labels), int)
    for epoch in range(epochs):
        order = pipeline.balance_examples(labels, count, 5, epoch)
        assert (order.shape, order.dtype) == ((count,), np.int32)
        drawn = np.bincount(labels[order], minlength=len(sizes))
        assert drawn.max() - drawn.min() <= 1
        times = np.bincount(order, minlength=len(labels))
        assert (least[epoch] <= times).all()
        assert (times <= most[epoch]).all()
        total += times
        classes = np.bincount(labels, total, minlength=len(sizes))
        assert classes.max() - classes.min() <= 1  # also over the whole run
    for label in range(len(sizes)):
        assert np.ptp(total[labels == label]) <= 1


def test_each_image_of_a_class_is_drawn_before_one_is_drawn_again():
    labels = np.repeat([0, 1, 2], [5, 40, 1])
    run = np.concatenate([pipeline.balance_examples(labels, 30, 3, epoch) for epoch in range(20)])
    for label, size in ((0, 5), (1, 40), (2, 1)):
        drawn = run[labels[run] == label]
        passes = drawn[: len(drawn) // size * size].reshape(-1, size)
        assert np.array_equal(
            np.sort(passes), np.tile(np.flatnonzero(labels == label), (len(passes), 1))
        )
    first, second = run[labels[run] == 1][:40], run[labels[run] == 1][40:80]
    assert not np.array_equal(first, second)


def test_balanced_order_never_changes():
    """A run of an older version resumes with the batches that come next."""
    labels = np.repeat([0, 1], [9, 3])
    assert pipeline.balance_examples(labels, 12, 0, 0).tolist() == [
        1,
        11,
        9,
        10,
        9,
        0,
        5,
        3,
        2,
        7,
        11,
        10,
    ]
    assert pipeline.balance_examples(labels, 12, 7, 3).tolist() == [
        10,
        7,
        0,
        9,
        11,
        3,
        10,
        2,
        11,
        8,
        9,
        5,
    ]


@pytest.mark.parametrize("augmentation", [NONE, CROP], ids=["none", "crop"])
@pytest.mark.parametrize("on_device", [False, True])
def test_balanced_batches_are_the_same_wherever_training_starts(on_device, augmentation):
    labels = np.repeat([0, 1, 2], [80, 20, 3]).astype(np.int32)
    examples = Examples(make_examples().store, labels)
    options = {"augmentation": augmentation, "examples": examples, "on_device": on_device}
    whole = list_batches(sampling="balanced", **options)
    assert same(list_batches(13, 12, 5, sampling="balanced", **options), whole[13:])
    host = list_batches(sampling="balanced", **options | {"on_device": False})
    assert same(host, whole)
    epoch = np.concatenate([labels for _, labels in whole[:STEPS]])
    assert sorted(np.bincount(epoch)) == [33, 33, 34]
