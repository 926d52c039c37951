"""The losses against numpy and Keras: smoothing, focal, weights, one unit, soft labels."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from cnntrain.errors import SpecError
from cnntrain.training import losses

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (6, 4)).astype("float32")
LABELS = np.array([0, 1, 2, 3, 1, 1], "int32")
ONE_UNIT = RANDOM.normal(0, 3, (6, 1)).astype("float32")
TWO = np.array([0, 1, 1, 0, 1, 0], "int32")
WEIGHTS = [0.5, 2.0, 1.0, 3.0]


def reference(targets, logits, smoothing, gamma, weights):
    """Return the loss computed by numpy, one example after another, in float64."""
    values = []
    for target, row in zip(targets, logits.astype("float64"), strict=True):
        p = np.exp(row) / np.exp(row).sum()
        smooth = (1 - smoothing) * target + smoothing / len(row)
        value = -sum(s * (1 - q) ** gamma * np.log(q) for s, q in zip(smooth, p, strict=True))
        values.append(value * sum(t * w for t, w in zip(target, weights, strict=True)))
    return values


@pytest.mark.parametrize(
    ("smoothing", "gamma", "weights"),
    [(0.1, 0, None), (0, 2, None), (0, 0.5, None), (0, 0, WEIGHTS), (0.2, 2, WEIGHTS)],
)
def test_objective_is_what_its_papers_say(smoothing, gamma, weights):
    loss = losses.build_loss(smoothing, gamma, weights)
    expected = reference(np.eye(4)[LABELS], LOGITS, smoothing, gamma, weights or [1] * 4)
    assert np.allclose(loss(LABELS, LOGITS), expected, rtol=1e-4)


@pytest.mark.parametrize("options", [(0.1, 2, WEIGHTS), (0.2, 0, None), (0, 0, WEIGHTS, 1.5)])
def test_loss_of_soft_labels_is_the_mean_over_the_classes(options):
    """The authors of mixup have lambda * loss(a) + (1 - lambda) * loss(b)."""
    shares = RANDOM.dirichlet([1] * 4, 6).astype("float32")
    loss = losses.build_loss(*options)
    each = [np.asarray(loss(np.full(6, label, "int32"), LOGITS)) for label in range(4)]
    assert np.allclose(loss(shares, LOGITS), (shares * np.stack(each, axis=1)).sum(1), rtol=1e-4)


def test_metrics_take_soft_labels():
    shares = RANDOM.dirichlet([1] * 4, 6).astype("float32")
    plain = -(shares * log_softmax(LOGITS, axis=-1)).sum(axis=-1)
    assert np.allclose(losses.compute_cross_entropy(shares, LOGITS), plain, rtol=1e-4)
    hits = shares.argmax(axis=-1) == LOGITS.argmax(axis=-1)
    assert np.array_equal(losses.compute_accuracy(shares, LOGITS), hits)


def test_one_unit_takes_soft_labels_of_both_classes():
    shares = RANDOM.dirichlet([1] * 2, 6).astype("float32")
    theirs = keras.losses.binary_crossentropy(shares[:, 1:], ONE_UNIT, from_logits=True)
    assert np.allclose(losses.compute_cross_entropy(shares, ONE_UNIT), theirs, rtol=1e-4)
    assert np.allclose(losses.build_loss(0, 0, [1, 1])(shares, ONE_UNIT), theirs, rtol=1e-4)
    hits = (shares[:, 1] > shares[:, 0]) == (ONE_UNIT[:, 0] > 0)
    assert np.array_equal(losses.compute_accuracy(shares, ONE_UNIT), hits)


def test_one_hot_labels_are_the_same_as_class_numbers():
    whole = np.eye(4, dtype="float32")[LABELS]
    for loss in (
        losses.compute_cross_entropy,
        losses.compute_accuracy,
        losses.build_loss(0.1, 1, WEIGHTS),
    ):
        assert np.allclose(loss(whole, LOGITS), loss(LABELS, LOGITS), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0, 0.2])
def test_one_unit_has_the_binary_cross_entropy(smoothing):
    ours = losses.build_loss(smoothing, 0, None)(TWO, ONE_UNIT)
    theirs = keras.losses.binary_crossentropy(
        TWO[:, None], ONE_UNIT, from_logits=True, label_smoothing=smoothing
    )
    assert np.allclose(ours, theirs, rtol=1e-4)
    assert np.array_equal(losses.compute_accuracy(TWO, ONE_UNIT), (ONE_UNIT[:, 0] > 0) == TWO)


def test_default_loss_is_plain_cross_entropy():
    assert losses.build_loss(0, 0, []) is losses.compute_cross_entropy


@pytest.mark.parametrize(("gamma", "weights"), [(0.5, None), (2, WEIGHTS)])
def test_gradient_is_finite_where_the_network_is_sure(gamma, weights):
    import tensorflow as tf

    logits = tf.constant([[100.0, 0, 0, 0], [-100.0, 0, 0, 0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = losses.build_loss(0.1, gamma, weights)(np.zeros(2, "int32"), logits)
    assert np.isfinite(tape.gradient(value, logits)).all()


def test_balanced_weights_make_every_class_count_the_same():
    labels = np.array([0] * 6 + [1] * 3 + [2], "int32")
    weights = losses.compute_class_weights("balanced", labels, 3)
    assert np.allclose(np.bincount(labels) * weights, 10 / 3)
    assert losses.compute_class_weights("none", labels, 3) == []
    assert losses.compute_class_weights((1, 2, 3), labels, 3) == [1, 2, 3]


def test_weights_for_another_number_of_classes_are_refused():
    with pytest.raises(SpecError, match="2 numbers and there are 3 classes"):
        losses.compute_class_weights((1, 2), np.array([0, 1, 2]), 3)


def test_rejection_is_one_class_more_that_nothing_belongs_to():
    loss = losses.build_loss(0, 0, None, rejection=1.5)
    more = np.hstack([LOGITS, np.full((6, 1), -1.5, "float32")])
    assert np.allclose(loss(LABELS, LOGITS), losses.compute_cross_entropy(LABELS, more), rtol=1e-5)
