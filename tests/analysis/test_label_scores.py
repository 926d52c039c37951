"""The scores of several labels an image are those of scikit-learn."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics

from cnntrain.analysis.label_scores import (
    choose_thresholds,
    compute_average_precisions,
    compute_label_metrics,
    compute_precision_recall,
    score_labels,
)


def draw(seed, count=200, classes=6, digits=None):
    """Return log-odds and labels; rounded to so many digits many probabilities are equal."""
    random = np.random.default_rng(seed)
    labels = (random.random((count, classes)) < np.linspace(0.05, 0.8, classes)).astype(np.uint8)
    log_odds = random.normal(0, 1.5, labels.shape) + labels - 0.5
    return log_odds if digits is None else np.round(log_odds, digits), labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [None, 1, 0])
def test_metrics_are_scikit_learns(seed, digits):
    log_odds, labels = draw(seed, digits=digits)
    p = expit(log_odds)
    found = compute_label_metrics(log_odds, labels)
    guesses = log_odds >= 0
    expected = {
        "loss": np.mean([metrics.log_loss(labels[:, n], p[:, n]) for n in range(6)]),
        "mean_average_precision": metrics.average_precision_score(labels, p, average="macro"),
        "exact_match": metrics.accuracy_score(labels, guesses),
        "micro_f1": metrics.f1_score(labels, guesses, average="micro"),
        "macro_f1": metrics.f1_score(labels, guesses, average="macro"),
    }
    assert found == pytest.approx(expected, rel=1e-12)
    each = metrics.average_precision_score(labels, p, average=None)
    assert compute_average_precisions(p, labels) == pytest.approx(each)


@pytest.mark.parametrize("digits", [None, 1])
def test_scores_at_thresholds_are_scikit_learns(digits):
    log_odds, labels = draw(1, digits=digits)
    thresholds = np.linspace(0.2, 0.7, 6)
    scores = score_labels(expit(log_odds), labels, thresholds)
    guesses = expit(log_odds) >= thresholds
    table = metrics.precision_recall_fscore_support(labels, guesses)
    for ours, theirs in zip(
        (scores.precision, scores.recall, scores.f1, scores.support), table, strict=True
    ):
        assert ours == pytest.approx(theirs)
    assert scores.exact_match == metrics.accuracy_score(labels, guesses)
    assert scores.micro_f1 == pytest.approx(metrics.f1_score(labels, guesses, average="micro"))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(labels, guesses, average="macro"))


@pytest.mark.parametrize("digits", [None, 1])
def test_curve_is_scikit_learns(digits):
    log_odds, labels = draw(2, classes=1, digits=digits)
    precision, recall, cuts = compute_precision_recall(log_odds[:, 0], labels[:, 0])
    theirs = metrics.precision_recall_curve(labels[:, 0], log_odds[:, 0])
    assert precision[::-1] == pytest.approx(theirs[0][:-1])
    assert recall[::-1] == pytest.approx(theirs[1][:-1])
    assert cuts[::-1] == pytest.approx(theirs[2])


@pytest.mark.parametrize("digits", [None, 1, 0])
def test_no_threshold_has_a_higher_f1(digits):
    log_odds, labels = draw(3, digits=digits)
    p = expit(log_odds)
    chosen = score_labels(p, labels, choose_thresholds(p, labels)).f1
    for n in range(labels.shape[1]):
        cuts = np.unique(p[:, n])
        best = max(metrics.f1_score(labels[:, n], p[:, n] >= cut) for cut in cuts)
        assert chosen[n] == pytest.approx(best)


def test_threshold_of_classes_apart_lies_half_way():
    p = np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.7], [0.9, 0.6]])
    labels = np.array([[0, 0], [0, 0], [1, 0], [1, 0]])
    assert choose_thresholds(p, labels).tolist() == [pytest.approx(0.45), 0.5]


def test_what_is_not_defined_is_nan_and_counts_in_no_mean():
    p = np.array([[0.9, 0.2, 0.1], [0.8, 0.6, 0.2]])
    labels = np.array([[1, 0, 1], [0, 0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_labels(p, labels, np.full(3, 0.5))
    assert np.isnan(scores.average_precision).tolist() == [False, True, False]
    assert np.isnan(scores.recall).tolist() == [False, True, False]
    assert np.isnan(scores.f1).tolist() == [False, True, False]
    assert np.isnan(scores.precision).tolist() == [False, False, True]
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    nothing = score_labels(p, np.zeros((2, 3), int), np.full(3, 0.95))
    assert np.isnan([nothing.mean_average_precision, nothing.macro_f1, nothing.micro_f1]).all()
    assert nothing.exact_match == 1


def test_loss_is_finite_for_a_network_that_is_sure():
    found = compute_label_metrics(np.array([[1e4, -1e4]]), np.array([[1, 1]]))
    assert found["loss"] == 5000
