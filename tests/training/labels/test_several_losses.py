"""The loss of several labels an image against numpy and Keras."""

import keras
import numpy as np
import pytest
from scipy.special import expit

from cnntrain.data.pipeline import augment_targets
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.training.labels import several_losses as losses
from cnntrain.training.labels.kind import SEVERAL_LABELS
from cnntrain.training.train_step import StepParts

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (6, 4)).astype("float32")
LABELS = (RANDOM.random((6, 4)) < 0.4).astype("uint8")
SOFT = RANDOM.random((6, 4)).astype("float32")
WEIGHTS = [0.5, 2.0, 1.0, 3.0]


def reference(targets, logits, smoothing, gamma, weights):
    """Return the loss computed by numpy, one pair after another, in float64."""
    values = np.zeros(len(logits))
    for image, row in enumerate(logits.astype("float64")):
        for z, target, weight in zip(row, targets[image], weights, strict=True):
            p = 1 / (1 + np.exp(-z))
            y = target * (1 - smoothing) + smoothing / 2
            there = -weight * y * (1 - p) ** gamma * np.log(p)
            values[image] += there - (1 - y) * p**gamma * np.log(1 - p)
    return values / logits.shape[1]


@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["plain", "soft"])
@pytest.mark.parametrize(
    ("smoothing", "gamma", "weights"),
    [(0, 0, ()), (0.1, 0, ()), (0, 2, ()), (0, 0.5, ()), (0, 0, WEIGHTS), (0.2, 2, WEIGHTS)],
)
def test_objective_is_what_its_papers_say(targets, smoothing, gamma, weights):
    loss = losses.build_binary_loss(smoothing, gamma, weights)
    expected = reference(targets, LOGITS, smoothing, gamma, weights or [1] * 4)
    assert np.allclose(loss(targets, LOGITS), expected, rtol=1e-4)


@pytest.mark.parametrize("smoothing", [0, 0.2])
def test_loss_is_keras_binary_cross_entropy(smoothing):
    theirs = keras.losses.BinaryCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction="none"
    )
    ours = losses.build_binary_loss(smoothing, 0, ())
    assert np.allclose(ours(LABELS, LOGITS), theirs(LABELS, LOGITS), rtol=1e-5)
    assert np.allclose(
        losses.compute_binary_cross_entropy(SOFT, LOGITS),
        keras.losses.binary_crossentropy(SOFT, LOGITS, from_logits=True),
        rtol=1e-5,
    )


def test_weights_of_examples_go_with_the_labels_of_mixed_images():
    """The weighted loss of a mixed image is the mean of those of both, by their shares."""
    weights, share = np.float32([0.5, 2, 1, 3, 0.1, 1]), 0.3

    def mix(labels, num_classes, random):
        return LOGITS, (1 - share) * labels + share * labels[::-1]

    examples = Examples(LOGITS, LABELS, weights=weights)
    _, targets = augment_targets(mix, examples, LABELS.shape[1], np.random.default_rng(0))
    loss = losses.build_binary_loss(0, 0, WEIGHTS)
    parts = StepParts(network=keras.Sequential(), optimizer=None, rate=None, loss=loss,
                      make_inputs=None, labels=SEVERAL_LABELS)  # fmt: skip
    objective, _ = parts.compute_losses(targets["labels"], LOGITS, targets["weights"])
    own, other = (weights[::d] * np.asarray(loss(LABELS[::d], LOGITS)) for d in (1, -1))
    assert float(objective) == pytest.approx(np.mean((1 - share) * own + share * other), rel=1e-5)


def test_focal_loss_is_keras():
    theirs = keras.losses.BinaryFocalCrossentropy(gamma=2, from_logits=True, reduction="none")
    ours = losses.build_binary_loss(0, 2, ())
    assert np.allclose(ours(LABELS, LOGITS), theirs(LABELS, LOGITS), rtol=1e-4)


def test_logits_that_are_huge_have_finite_losses():
    huge = np.array([[1e4, -1e4, 1e4, -1e4]], "float32")
    found = losses.build_binary_loss(0.1, 1.5, WEIGHTS)(np.array([[1, 0, 0, 1]]), huge)
    assert np.isfinite(found).all()


def test_balanced_weights_make_images_with_and_without_a_class_count_alike():
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], np.uint8)
    weights = losses.compute_positive_weights("balanced", labels)
    assert weights == [1 / 3, 3, 1]
    assert losses.compute_positive_weights("none", labels) == []
    assert losses.compute_positive_weights([1, 2, 3], labels) == [1, 2, 3]
    with pytest.raises(SpecError, match="has 2 numbers and there are 3 classes"):
        losses.compute_positive_weights([1, 2], labels)


def test_a_class_without_images_stays_improbable_with_smoothed_labels():
    """Each image is a little of the class then: its weight must not be that of all images."""
    labels = np.array([[1, 0, 0]] * 50 + [[0, 1, 0]] * 50, np.uint8)
    loss = losses.build_binary_loss(0.1, 0, losses.compute_positive_weights("balanced", labels))
    rare, common = (np.tile(np.float32([0, 0, odds]), (100, 1)) for odds in (-3, 3))
    assert np.mean(loss(labels, rare)) < np.mean(loss(labels, common))


@pytest.mark.parametrize("targets", [LABELS, SOFT])
def test_exact_match_wants_all_classes_right(targets):
    right = ((LOGITS >= 0) == (targets >= 0.5)).all(axis=1)
    assert np.array_equal(losses.compute_exact_match(targets, LOGITS), right)
    sure = np.where(targets >= 0.5, 1, -1).astype("float32")
    assert np.array_equal(losses.compute_exact_match(targets, sure), np.ones(6))


def test_chance_is_the_loss_of_the_best_constant():
    labels = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.uint8)
    loss, hits = losses.compute_chance(labels)
    shares = np.array([0.75, 0.25])
    constant = np.tile(np.log(shares / (1 - shares)), (4, 1)).astype("float32")
    assert loss == pytest.approx(np.mean(losses.compute_binary_cross_entropy(labels, constant)))
    assert expit(constant[0]) == pytest.approx(shares)
    assert hits == 0.5  # of "the first and not the second"
    assert losses.compute_chance(np.array([[1, 0]]))[0] == 0
