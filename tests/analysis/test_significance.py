"""Tests of differences: scipy's, figures of textbooks, and what they say in words."""

import numpy as np
import pytest
from scipy import stats

from cnntrain.analysis.significance import (
    adjust_p_values,
    compare_folds,
    compare_paired,
    compare_seeds,
    compute_fold_interval,
    compute_wilson_interval,
    correct_for_many,
    format_p_value,
)


def make_correct(both, only_a, only_b, neither):
    """Return which images A and B recognise, from the four counts of McNemar's table."""
    counts = (both, only_a, only_b, neither)
    return (np.repeat(column, counts) for column in ([1, 1, 0, 0], [1, 0, 1, 0]))


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (81, 263), (9857, 10000)])
def test_wilson_interval_is_that_of_scipy(correct, total):
    expected = stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert compute_wilson_interval(correct, total) == pytest.approx([expected.low, expected.high])


def test_wilson_interval_of_the_textbook():
    # Newcombe (1998), Table I: 81 of 263 and 15 of 148.
    assert compute_wilson_interval(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert compute_wilson_interval(15, 148) == pytest.approx([0.0624, 0.1605], abs=5e-5)
    with pytest.raises(ValueError, match="3 of 2"):
        compute_wilson_interval(3, 2)


@pytest.mark.parametrize("only", [(0, 0), (1, 5), (5, 1), (9, 9), (31, 12), (700, 500)])
def test_mcnemar_is_the_exact_binomial_test_of_scipy(only):
    found = compare_paired(*make_correct(3, *only, 5))
    expected = stats.binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0
    assert found.p_value == pytest.approx(expected)
    assert (found.only_a, found.only_b, found.images) == (*only, 8 + sum(only))


def test_mcnemar_of_the_textbook():
    # Agresti, Categorical Data Analysis, Table 10.1: approval of a prime minister, asked twice.
    found = compare_paired(*make_correct(794, 150, 86, 570))
    assert found.difference == pytest.approx(0.04)
    assert found.interval == pytest.approx([0.0212, 0.0588], abs=3e-4)
    assert found.verdict == "better"
    chi_square = stats.chi2.sf(17.36, 1)
    assert found.p_value == pytest.approx(chi_square, rel=0.3)  # the exact one is a little larger


def test_exact_mcnemar_of_few_pairs():
    # One image against six: 2 (1 + 7) / 2^7.
    found = compare_paired(*make_correct(0, 1, 6, 0))
    assert found.p_value == pytest.approx(0.125)
    assert found.verdict == "tied"
    with pytest.raises(ValueError, match="shapes"):
        compare_paired(np.ones(3), np.ones(4))


def test_seeds_are_compared_as_r_compares_its_sleep_data():
    # Student (1908), from Cushny and Peebles: hours of sleep that two drugs added to ten patients
    # each. R: t.test(extra ~ group, data = sleep).
    a = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))
    b = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
    found = compare_seeds(a, b, is_share=False)
    assert (found.test, found.verdict) == ("Welch's t-test", "tied")
    assert found.difference == pytest.approx(1.58)
    assert found.p_value == pytest.approx(0.07939, abs=1e-5)
    assert found.interval == pytest.approx([-0.2054832, 3.3654832])
    turned = compare_seeds(b, dict(reversed(a.items())), is_share=False)
    assert (turned.difference, turned.p_value) == pytest.approx([-1.58, found.p_value])


def test_the_number_of_seeds_may_differ():
    a, b = {1: 0.91, 2: 0.93, 3: 0.92}, {4: 0.90, 5: 0.85, 6: 0.88, 7: 0.87}
    expected = stats.ttest_ind([*a.values()], [*b.values()], equal_var=False)
    found = compare_seeds(a, b)
    assert found.test == "Welch's t-test"
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx([*expected.confidence_interval(0.95)])
    assert (found.mean_a, found.std_a) == pytest.approx([0.92, 0.01])


@pytest.mark.parametrize(
    ("a", "b", "p_value"),
    [
        ({1: 0.5, 2: 0.5}, {3: 0.4, 4: 0.4}, 2 / 6),
        ({1: 0.1, 2: 0.1}, {1: 0.1, 2: 0.1}, 1.0),
        (dict.fromkeys(range(3), 0.7), dict.fromkeys(range(3), 0.6), 2 / 20),
    ],
)
def test_differences_that_do_not_vary_are_no_certainty(a, b, p_value):
    found = compare_seeds(a, b)
    assert (found.p_value, found.interval) == (pytest.approx(p_value), None)


def test_one_seed_is_not_compared():
    with pytest.raises(ValueError, match="two seeds"):
        compare_seeds({1: 0.5}, {1: 0.4, 2: 0.5})


def test_holm_corrects_for_many_comparisons():
    # Wright (1992), Biometrics 48, and R's p.adjust: the smallest times 4, then the larger ones.
    assert adjust_p_values([0.01, 0.04, 0.03, 0.005], 4) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_p_values([0.9, 0.8], 2) == [1.0, 1.0]
    assert adjust_p_values([], 0) == []
    assert adjust_p_values([0.01, 0.04], 3) == pytest.approx([0.03, 0.08])
    pairs = [compare_paired(*make_correct(50, *only, 9)) for only in [(9, 1), (30, 2)]]
    corrected = correct_for_many(pairs, 2)
    assert [c.p_value for c in corrected] == adjust_p_values([c.p_value for c in pairs], 2)
    assert "after Holm's correction for 2 comparisons" in corrected[0].describe()


def test_a_tie_is_called_a_tie_and_one_run_each_says_what_it_cannot_tell():
    tied = compare_seeds({1: 0.91, 2: 0.94, 3: 0.92}, {1: 0.92, 2: 0.92, 3: 0.92})
    assert tied.describe("relu", "tanh") == (
        "relu and tanh are tied: the difference of 0.33 points in accuracy is within what the "
        "seeds alone make (95 % interval −3.46 to +4.13; p = 0.74, Welch's t-test over 3 seeds)."
    )
    better = compare_paired(*make_correct(900, 31, 12, 57))
    assert better.describe() == (
        "A is better than B: test accuracy higher by 1.90 points (95 % interval +0.60 to +3.19; "
        "p = 0.0054, McNemar's exact test on 1,000 test images, of which A alone is right on 31 "
        "and B alone on 12). "
        "These are two runs: they do not tell what other seeds would give."
    )
    same = compare_seeds({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5})
    assert same.describe().startswith(
        "A and B are tied: there is no difference in accuracy (p = 1.00"
    )
    worse = compare_seeds({1: 0.5, 2: 0.51}, {1: 0.2, 2: 0.22}, higher_is_better=False)
    assert worse.verdict == "worse"


@pytest.mark.parametrize(
    ("p_value", "text"), [(0.414, "p = 0.41"), (0.00321, "p = 0.0032"), (1e-9, "p < 0.0001")]
)
def test_p_values_are_shown_in_few_digits(p_value, text):
    assert format_p_value(p_value) == text


def test_fold_interval_is_students_with_the_corrected_variance():
    values = [0.91, 0.93, 0.90, 0.95, 0.92]
    scale = np.std(values, ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    expected = stats.t.interval(0.95, 4, np.mean(values), scale)
    assert compute_fold_interval(values, 5) == pytest.approx(expected)


def test_two_settings_are_compared_fold_by_fold():
    a, b = np.array([0.91, 0.93, 0.90, 0.95, 0.92]), np.array([0.88, 0.91, 0.86, 0.93, 0.89])
    found = compare_folds([*zip(a, b, strict=True)], 5)
    t = (a - b).mean() / (np.std(a - b, ddof=1) * np.sqrt(1 / 5 + 1 / 4))
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    assert found.verdict == "better"
    paired = stats.ttest_rel(a, b)
    assert found.p_value > paired.pvalue  # which takes the runs for independent
    assert found.describe() == (
        f"A is better than B: accuracy higher by 2.80 points ({found.format_interval()}; "
        f"p = {found.p_value:.2g}, corrected resampled t-test over 5 folds)."
    )


def test_differences_that_do_not_vary_between_folds_are_tested_by_sign():
    assert compare_folds([(0.9, 0.9)] * 5, 5).p_value == 1
    found = compare_folds([(0.9, 0.8)] * 5, 5)
    assert (found.p_value, found.verdict) == (2 / 32, "tied")
    with pytest.raises(ValueError, match="two folds or more"):
        compare_folds([(0.9, 0.8)], 5)
