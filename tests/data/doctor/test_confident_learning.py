"""Confident learning, against the equations of the paper written out example by example."""

import numpy as np
import pytest

from cnntrain.data.doctor.confident_learning import compute_class_thresholds, find_label_issues


def draw_predictions(count=600, classes=4, seed=0):
    """Return probabilities, true labels, and labels of which a tenth is wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), truth] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given, wrong = truth.copy(), random.permutation(count)[: count // 10]
    given[wrong] = (truth[wrong] + random.integers(1, classes, len(wrong))) % classes
    return probabilities, truth, given


def test_issues_are_those_of_the_papers_equations():
    probabilities, _, given = draw_predictions()
    classes = range(probabilities.shape[1])
    thresholds = [np.mean([p[j] for p, g in zip(probabilities, given, strict=True) if g == j])
                  for j in classes]  # fmt: skip
    joint, margins = np.zeros((4, 4)), []
    for number, (p, label) in enumerate(zip(probabilities, given, strict=True)):
        reached = [j for j in classes if p[j] >= thresholds[j]]
        if reached:
            joint[label, max(reached, key=lambda j: p[j])] += 1
        other = max((j for j in classes if j != label), key=lambda j: p[j])
        margins.append((p[label] - p[other], number, other))
    scaled = joint / joint.sum(axis=1, keepdims=True) * np.bincount(given)[:, np.newaxis]
    estimate = scaled.sum() - np.trace(scaled)
    expected = [issue for issue in sorted(margins)[: round(estimate)] if issue[0] < 0]
    found = find_label_issues(probabilities, given)
    assert compute_class_thresholds(probabilities, given) == pytest.approx(thresholds)
    assert found.estimate == pytest.approx(estimate)
    assert found.examples.tolist() == [number for _, number, _ in expected]
    assert found.suggested.tolist() == [other for _, _, other in expected]
    assert found.margins == pytest.approx([margin for margin, _, _ in expected])


def test_wrong_labels_are_found_and_few_others():
    probabilities, truth, given = draw_predictions()
    found = find_label_issues(probabilities, given)
    wrong = given[found.examples] != truth[found.examples]
    assert wrong.sum() > 0.7 * 60
    assert wrong.mean() > 0.7
    assert wrong[:20].all()
    assert (found.suggested == truth[found.examples])[wrong].mean() > 0.9


def test_the_estimate_is_near_the_number_of_wrong_labels():
    probabilities, _, given = draw_predictions(count=5000)
    assert find_label_issues(probabilities, given).estimate == pytest.approx(500, rel=0.2)


def test_a_class_that_no_label_names_has_no_threshold():
    probabilities, _, given = draw_predictions()
    given[given == 3] = 0
    assert compute_class_thresholds(probabilities, given)[3] == np.inf
    assert np.isfinite(find_label_issues(probabilities, given).estimate)


def test_labels_that_a_sure_network_agrees_with_are_no_issue():
    found = find_label_issues(np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 1]))
    assert len(found.examples) == 0
    assert found.estimate == 0
