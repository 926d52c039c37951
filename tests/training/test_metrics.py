"""Scores of classes: those of scikit-learn, and none where they are not defined."""

import numpy as np
import pytest
from sklearn import metrics

from cnntrain.training.metrics import (
    METRICS,
    compute_headline_metrics,
    list_confused_pairs,
    score_by_class,
    score_saved_predictions,
    warn_about_majority_class,
)

NAMES = ("common", "frequent", "rare")


def predictions(labels, guesses):
    return {"labels": np.array(labels), "classes": np.array(guesses)[:, np.newaxis]}


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    labels, guesses = random.integers(0, 4, 30), random.integers(0, 5, 30)
    matrix, *parts = score_by_class(labels.astype(np.int32), guesses, 6)
    assert np.array_equal(matrix, metrics.confusion_matrix(labels, guesses, labels=range(6)))
    expected = metrics.precision_recall_fscore_support(
        labels, guesses, labels=range(6), zero_division=np.nan
    )
    with_images = expected[3] > 0
    for ours, theirs in zip(parts, expected, strict=True):
        np.testing.assert_allclose(ours[with_images], theirs[with_images])
    assert np.isnan(parts[1][~with_images]).all()
    assert np.isnan(parts[2][~with_images]).all()


def test_class_without_images_has_no_f1_and_is_in_no_mean():
    labels, guesses = np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1])
    found = score_saved_predictions(predictions(labels, guesses), 3)
    assert found.macro_f1 == metrics.f1_score(labels, guesses, average="macro") == 1
    assert found.balanced_accuracy == 1
    assert [row["cells"] for row in found.list_rows(NAMES)][2] == ["–", "–", "–"]
    log_probabilities = np.log(np.eye(3)[guesses] * 0.97 + 0.01)
    assert compute_headline_metrics(log_probabilities, labels)["macro_f1"] == 1


def test_the_worst_classes_and_the_commonest_confusions_come_first():
    labels, guesses = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0, 2])
    found = score_saved_predictions(predictions(labels, guesses), 4)
    names = (*NAMES, "absent")
    assert list_confused_pairs(found.confusion, names, 9) == [
        ("common", "frequent", 2),
        ("frequent", "common", 1),
    ]
    assert list_confused_pairs(found.confusion, names, 1) == [("common", "frequent", 2)]
    worst = found.list_worst_classes(names, 4)
    assert worst == [("common", pytest.approx(0.4)), ("frequent", pytest.approx(0.4))]


def test_numbers_of_an_evaluation_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    p, labels = random.dirichlet(np.ones(3), 50), random.integers(0, 3, 50)
    found, guesses = compute_headline_metrics(np.log(p), labels), p.argmax(axis=1)
    assert tuple(found) == METRICS
    assert found["accuracy"] == metrics.accuracy_score(labels, guesses)
    balanced = metrics.balanced_accuracy_score(labels, guesses)
    assert found["balanced_accuracy"] == pytest.approx(balanced)
    f1 = metrics.f1_score(labels, guesses, average="macro")
    assert found["macro_f1"] == pytest.approx(f1)


REMEDIES = ("loss.class_weights=balanced", "monitor=valid.balanced_accuracy")


def warned(labels, guesses, remedies=REMEDIES):
    return warn_about_majority_class(np.array(labels), np.array(guesses), NAMES, remedies)


def test_network_that_always_says_the_commonest_class_is_warned_of():
    line = warned([0] * 199 + [2], [0] * 200)
    assert line.startswith("Warning: always predicting common would have a test accuracy of 99.5 %")
    assert "the network never predicts rare (1 test image)" in line
    assert "Try loss.class_weights=balanced and monitor=valid.balanced_accuracy" in line
    assert warned([0] * 199 + [2], [0] * 200, ()).endswith("never predicts rare (1 test image)")


def test_class_that_is_never_said_is_named_also_where_accuracy_is_better():
    line = warned([0] * 50 + [1] * 48 + [2] * 2, [0] * 50 + [1] * 50)
    assert line.startswith("Warning: the network never predicts rare (2 test images). Try")


@pytest.mark.parametrize(
    ("labels", "guesses"),
    [
        ([0, 1, 2] * 10, [0] * 30),  # balanced, and not learnt: another fault
        ([0] * 190 + [2] * 10, [0] * 190 + [2] * 9 + [0]),
        ([0, 0, 1, 1, 2], [1] * 5),  # as balanced as so few can be
        ([0] * 10, [0] * 10),  # of one class there is nothing to say
    ],
)
def test_better_or_balanced_networks_are_not_warned_of(labels, guesses):
    assert warned(labels, guesses) is None
