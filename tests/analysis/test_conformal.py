"""Temperatures and conformal sets, against numpy, scipy and simulated draws."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import beta, binom

from cnntrain.analysis import conformal
from cnntrain.errors import SpecError
from cnntrain.inference.calibrate import check_image_count


def draw_logits(random, count, classes=5, sharpness=3.0):
    """Return logits (count, classes) and labels that are drawn from their softmax."""
    logits = random.normal(0, sharpness, (count, classes))
    p = softmax(logits, axis=-1)
    return logits, (p.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)


def test_temperature_is_the_one_by_which_logits_are_too_large():
    logits, labels = draw_logits(np.random.default_rng(0), 20_000)
    for truth in (0.5, 1.0, 2.5):
        assert conformal.fit_temperature(truth * logits, labels) == pytest.approx(truth, rel=0.03)


def test_temperature_has_the_lowest_loss_of_all():
    random = np.random.default_rng(1)
    logits, labels = draw_logits(random, 200)
    grid = np.exp(np.linspace(-1.5, 2.5, 2001))
    losses = [
        -log_softmax(logits / t, axis=-1)[range(200), labels].sum()
        - log_softmax(logits / t, axis=-1).mean()  # the image that counts besides
        for t in grid
    ]
    assert conformal.fit_temperature(logits, labels) == pytest.approx(
        grid[np.argmin(losses)], rel=0.003
    )


def test_a_network_that_made_no_mistake_is_not_made_surer_without_end():
    logits = np.tile([[8.0, 0.0], [0.0, 8.0]], (25, 1))
    labels = np.tile([0, 1], 25)
    # d/du of 50 log(1 + e^-u) + (u / 2 + log(1 + e^-u)) is 0 where e^-u is 0.5 / 50.5.
    expected = 8 / math.log(50.5 / 0.5)
    assert conformal.fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("count", [9, 10, 19, 50, 144, 1000])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.95])
def test_quantile_is_that_of_numpy(count, share):
    scores = np.random.default_rng(count).normal(size=count)
    rank = math.ceil(round((count + 1) * share, 9))
    if rank > count:
        assert conformal.find_conformal_quantile(scores, share) == math.inf
        return
    expected = np.quantile(scores, (rank - 0.5) / count, method="inverted_cdf")
    assert conformal.find_conformal_quantile(scores, share) == expected


def simulate(coverage, count, draws, seed):
    """Return hits, refusals for distance, and set sizes of new images, one for each draw.

    Distances go with how wrong the network is, as they do in truth.
    """
    random, hits, far, sizes = np.random.default_rng(seed), [], [], []
    for _ in range(draws):
        logits, labels = draw_logits(random, count + 1)
        p = softmax(1.7 * logits, axis=-1)  # too sure of itself
        distances = random.gamma(2, size=count + 1) + 1 - p[np.arange(count + 1), labels]
        threshold, limit = conformal.fit_label_sets(p[1:], labels[1:], distances[1:], coverage)
        labelled = (p[0] >= threshold) & (distances[0] <= limit)
        hits.append(labelled[labels[0]])
        far.append(distances[0] > limit)
        sizes.append(labelled.sum())
    return np.array(hits), np.array(far), np.array(sizes)


@pytest.mark.parametrize(("coverage", "count"), [(0.9, 19), (0.9, 50), (0.8, 200)])
def test_coverage_of_new_images_is_what_was_promised(coverage, count):
    draws = 4000
    hits, far, sizes = simulate(coverage, count, draws, seed=count)
    low, high = binom(draws, coverage).ppf([1e-4, 1 - 1e-4]) / draws
    assert low <= hits.mean() <= high + 1 / (count + 1)
    most = (1 - coverage) * conformal.ODD_SHARE
    assert far.mean() <= binom(draws, most).ppf(1 - 1e-4) / draws
    assert {0, 1} <= set(sizes)


def test_coverage_of_one_draw_lies_in_its_interval():
    assert conformal.compute_coverage_interval(50, 0.9) == pytest.approx(
        beta(46, 5).ppf([0.025, 0.975])
    )
    low, high = conformal.compute_coverage_interval(1000, 0.9)
    assert low < 0.9 < high
    assert high - low < 0.04


def test_images_that_are_needed_are_just_enough():
    for coverage in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
        needed = conformal.count_needed_images(coverage)
        assert needed == round(2 / (1 - coverage)) - 1
        random = np.random.default_rng(0)
        logits, labels = draw_logits(random, needed)
        distances = random.random(needed)
        threshold, limit = conformal.fit_label_sets(
            softmax(logits, axis=-1), labels, distances, coverage
        )
        assert threshold > 0
        assert distances.max() <= limit < distances.max() + 2e-6
        check_image_count(needed, coverage)
        with pytest.raises(SpecError, match=f"{needed - 1} validation images cannot promise"):
            check_image_count(needed - 1, coverage)


def test_what_is_suggested_for_few_images_is_accepted():
    for count in range(60):
        try:
            check_image_count(count, 0.97)
        except SpecError as answer:
            if answer.hint is not None:
                check_image_count(count, float(answer.hint.removeprefix("--coverage ")))
            else:
                assert count < conformal.count_needed_images(0.5)


def test_rounding_never_takes_a_label_away():
    random = np.random.default_rng(3)
    logits, labels = draw_logits(random, 99)
    p, distances = softmax(logits, axis=-1), random.random(99)
    threshold, limit = conformal.fit_label_sets(p, labels, distances, 0.9)
    near = distances <= limit
    assert near.sum() >= 95
    assert ((p[range(99), labels] >= threshold) & near).sum() >= 90
