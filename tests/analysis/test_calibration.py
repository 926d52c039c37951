"""Calibration: the bins and the error of the paper."""

import numpy as np
import pytest

from cnntrain.analysis.calibration import compute_calibration_error, compute_reliability


def test_calibration_error_is_that_of_the_paper():
    confidence, hits = np.array([0.9, 0.9, 0.7, 0.68]), np.array([True, False, True, True])
    # 0.9 lies in (13/15, 14/15], 0.7 and 0.68 in (10/15, 11/15].
    low, high = compute_reliability(confidence, hits)
    assert (low.low, low.high, low.images) == (10 / 15, 11 / 15, 2)
    assert (low.confidence, low.accuracy) == pytest.approx((0.69, 1))
    assert (high.confidence, high.accuracy) == pytest.approx((0.9, 0.5))
    error = compute_calibration_error(confidence, hits)
    assert error == pytest.approx(2 / 4 * 0.4 + 2 / 4 * 0.31)


def test_honest_probabilities_have_no_error():
    random = np.random.default_rng(1)
    confidence = random.uniform(0.1, 1, 300_000)
    hits = random.random(len(confidence)) < confidence
    assert compute_calibration_error(confidence, hits) < 0.005
    assert len(compute_reliability(confidence, hits)) == 14  # none below 1/15
    assert [b.images for b in compute_reliability(np.ones(3), np.ones(3))] == [3]
