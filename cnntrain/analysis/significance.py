"""Tell whether one network is better than another, or whether chance makes the difference.

Two runs are compared on the same test images (McNemar, 1947), and two settings over their seeds
(Welch's t-test) or over the folds of cross-validation (Nadeau & Bengio, 2003). A difference that
chance may well have made is called a tie.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import bdtr, ndtri, stdtr, stdtrit

CONFIDENCE = 0.95  # of every interval; a p value below 1 - CONFIDENCE makes a difference
SMALLEST_SHOWN = 1e-4  # smaller p values are shown as p < 0.0001
ROUNDING = 1e-9  # differences that vary by a smaller share of their size vary by rounding alone


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What a test says about a number of A and of B.

    `metric` names the number, `difference` is A minus B, and `interval` its 95 % interval, which is
    not widened for many `comparisons`, whereas `p_value` is corrected for them. `is_share` is true
    of an accuracy, whose differences are told in points (hundredths).
    """

    test: str
    metric: str
    difference: float
    interval: tuple[float, float] | None  # None if the test gives none
    p_value: float
    comparisons: int = 1
    higher_is_better: bool = True
    is_share: bool = True

    @property
    def verdict(self) -> Literal["better", "worse", "tied"]:
        """Whether A is better than B, worse, or tied with it."""
        if self.p_value >= 1 - CONFIDENCE or self.difference == 0:
            return "tied"
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"

    def describe(self, a: str = "A", b: str = "B") -> str:
        """Return the verdict and its evidence as one or two whole sentences."""
        p = format_p_value(self.p_value)
        if self.comparisons > 1:
            p += f" after Holm's correction for {self.comparisons} comparisons"
        interval = f"{self.format_interval()}; " if self.interval else ""
        evidence = f"({interval}{p}, {self.format_test(a, b)})"
        size = self.format_amount(abs(self.difference))
        if self.verdict == "tied":
            if self.difference == 0:
                return (
                    f"{a} and {b} are tied: there is no difference in {self.metric} "
                    f"{evidence}.{self.caveat}"
                )
            return (
                f"{a} and {b} are tied: the difference of {size} in {self.metric} is within what "
                f"{self.chance} {evidence}.{self.caveat}"
            )
        way = "higher" if self.difference > 0 else "lower"
        return (
            f"{a} is {self.verdict} than {b}: {self.metric} {way} by {size} "
            f"{evidence}.{self.caveat}"
        )

    def format_amount(self, number: float) -> str:
        """Return a difference in words: `0.30 points` of a share, else four digits."""
        return f"{100 * number:.2f} points" if self.is_share else f"{number:.4g}"

    def format_interval(self) -> str:
        """Return the interval of A minus B in words, or "" if there is none."""
        if self.interval is None:
            return ""
        scale, form = (100, "+.2f") if self.is_share else (1, "+.4g")
        low, high = (f"{scale * end:{form}}".replace("-", "−") for end in self.interval)
        return f"95 % interval {low} to {high}"

    @property
    def chance(self) -> str:
        """What else may have made the difference, with its verb."""
        raise NotImplementedError

    @property
    def caveat(self) -> str:
        """A sentence, after a space, on what the test cannot tell, or ""."""
        return ""

    def format_test(self, a: str, b: str) -> str:
        """Return the test and what it counted, in words."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PairedContrast(Contrast):
    """A comparison of the accuracies of two runs on the same images."""

    images: int
    only_a: int  # images that A alone recognises
    only_b: int  # images that B alone recognises

    @property
    def chance(self) -> str:
        return "the choice of test images alone makes"

    @property
    def caveat(self) -> str:
        these = "These are two runs" if self.comparisons == 1 else "Each comparison is of two runs"
        return f" {these}: they do not tell what other seeds would give."

    def format_test(self, a: str, b: str) -> str:
        return (
            f"{self.test} on {self.images:,} test images, of which {a} alone is right on "
            f"{self.only_a:,} and {b} alone on {self.only_b:,}"
        )


@dataclass(frozen=True, kw_only=True)
class SeedContrast(Contrast):
    """A comparison of a number of two settings, each trained with several seeds."""

    seeds_a: int
    seeds_b: int
    mean_a: float
    mean_b: float
    std_a: float  # sample standard deviations
    std_b: float

    @property
    def chance(self) -> str:
        return "the seeds alone make"

    def format_test(self, a: str, b: str) -> str:
        if self.seeds_a == self.seeds_b:
            return f"{self.test} over {self.seeds_a} seeds"
        return f"{self.test} over {self.seeds_a} and {self.seeds_b} seeds"


@dataclass(frozen=True, kw_only=True)
class FoldContrast(Contrast):
    """A comparison of a number of two settings, each trained on the same folds."""

    folds: int

    @property
    def chance(self) -> str:
        return "the folds alone make"

    def format_test(self, a: str, b: str) -> str:
        return f"{self.test} over {self.folds} folds"


def compute_wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval (1927) of the share `correct` / `total`.

    Raises ValueError unless 0 <= correct <= total and total > 0.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"{correct} of {total}")
    z, share = float(ndtri((1 + CONFIDENCE) / 2)), correct / total
    center = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    scale = 1 + z * z / total
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def compare_paired(correct_a: np.ndarray, correct_b: np.ndarray) -> PairedContrast:
    """Return whether A recognises more images than B, from the same images (N,) bool of both.

    The test is McNemar's in its exact form: of the images that one of the two alone recognises,
    half are A's if both are equally good. The interval is Wald's with half an image added to each
    of the four counts (Agresti & Min, 2005). Raises ValueError if the images differ in number.
    """
    if correct_a.shape != correct_b.shape or correct_a.ndim != 1 or not correct_a.size:
        raise ValueError(f"images of shapes {correct_a.shape} and {correct_b.shape}")
    right_a, right_b = correct_a.astype(bool), correct_b.astype(bool)
    images, only_a = len(right_a), int((right_a & ~right_b).sum())
    only_b = int((right_b & ~right_a).sum())
    one_tail = float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))
    more_a, more_b, more = only_a + 0.5, only_b + 0.5, images + 2
    center = (more_a - more_b) / more
    half = math.sqrt(more_a + more_b - (more_a - more_b) ** 2 / more) / more
    half *= float(ndtri((1 + CONFIDENCE) / 2))
    return PairedContrast(
        test="McNemar's exact test", metric="test accuracy", difference=(only_a - only_b) / images,
        interval=(center - half, center + half), p_value=min(1.0, 2 * one_tail),
        images=images, only_a=only_a, only_b=only_b,
    )  # fmt: skip


def compare_seeds(
    a: Mapping[int, float],
    b: Mapping[int, float],
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    is_share: bool = True,
) -> SeedContrast:
    """Return whether the numbers of A are better than those of B; both map seeds to numbers.

    The test is Welch's. It does not pair equal seeds: with different settings, a seed draws
    unrelated numbers, and pairs would halve the few degrees of freedom. Where no number varies, as
    of accuracies on few images, a t-test would be sure of any difference: there it is an exact
    permutation test. Raises ValueError for fewer than two seeds of either.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("each needs two seeds or more")
    values_a, values_b = [*a.values()], [*b.values()]
    test = "Welch's t-test"
    difference = statistics.fmean(values_a) - statistics.fmean(values_b)
    squares = [statistics.variance(values) / len(values) for values in (values_a, values_b)]
    error, freedom = math.sqrt(sum(squares)), 1.0
    if error:
        parts = zip(squares, (values_a, values_b), strict=True)
        freedom = sum(squares) ** 2 / sum(s * s / (len(v) - 1) for s, v in parts)
    permutations = math.comb(len(a) + len(b), len(a))
    largest = max(map(abs, (*values_a, *values_b)))
    interval: tuple[float, float] | None = None
    if error > ROUNDING * largest:
        p_value = 2 * float(stdtr(freedom, -abs(difference) / error))
        half = error * float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
        interval = (difference - half, difference + half)
    elif abs(difference) > ROUNDING * largest:
        test, p_value = "exact permutation test", min(1.0, 2 / permutations)
    else:
        difference, p_value = 0.0, 1.0
    return SeedContrast(
        test=test, metric=metric, difference=difference, interval=interval, p_value=p_value,
        higher_is_better=higher_is_better, is_share=is_share,
        seeds_a=len(a), seeds_b=len(b),
        mean_a=statistics.fmean(values_a), mean_b=statistics.fmean(values_b),
        std_a=statistics.stdev(values_a), std_b=statistics.stdev(values_b),
    )  # fmt: skip


def compute_fold_interval(values: Sequence[float], folds: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a number over two or more of `folds` folds.

    It is Student's t with the variance of Nadeau & Bengio (2003, section 3): the runs share most of
    their training images, so that the variance of the mean is that of the folds times
    1/n + 1/(folds - 1), the latter being the images tested over those trained on.
    """
    half = compute_fold_error(values, folds) * float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    mean = statistics.fmean(values)
    return mean - half, mean + half


def compute_fold_error(values: Sequence[float], folds: int) -> float:
    """Return the corrected standard error of a mean over folds (see `compute_fold_interval`)."""
    return math.sqrt(statistics.variance(values) * (1 / len(values) + 1 / (folds - 1)))


def compare_folds(
    pairs: Sequence[tuple[float, float]],
    folds: int,
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    is_share: bool = True,
) -> FoldContrast:
    """Return whether the numbers of A are better than those of B on the same folds.

    `pairs` has the numbers of A and B on two or more of `folds` folds. The test is the corrected
    resampled t-test (Nadeau & Bengio, 2003) of the differences. Where these do not vary, it is an
    exact sign test. Raises ValueError for fewer than two pairs.
    """
    if len(pairs) < 2:
        raise ValueError("two folds or more are needed")
    differences = [a - b for a, b in pairs]
    difference, error = statistics.fmean(differences), compute_fold_error(differences, folds)
    largest = max(abs(number) for pair in pairs for number in pair)
    test, interval = "corrected resampled t-test", None
    if error > ROUNDING * largest:
        p_value = 2 * float(stdtr(len(pairs) - 1, -abs(difference) / error))
        interval = compute_fold_interval(differences, folds)
    elif abs(difference) > ROUNDING * largest:
        test, p_value = "exact sign test", 2 * 0.5 ** len(pairs)
    else:
        difference, p_value = 0.0, 1.0
    return FoldContrast(
        test=test, metric=metric, difference=difference, interval=interval, p_value=p_value,
        higher_is_better=higher_is_better, is_share=is_share, folds=len(pairs),
    )  # fmt: skip


def correct_for_many(contrasts: Sequence[Contrast], comparisons: int) -> list[Contrast]:
    """Return contrasts, in their order, with p values corrected by Holm (1979).

    `comparisons` are all that might have been made: of k settings, of which the numbers chose the
    best, k (k - 1) / 2. The chance that any contrast finds a difference where there is none is then
    at most 5 %.
    """
    adjusted = adjust_p_values([contrast.p_value for contrast in contrasts], comparisons)
    return [
        replace(contrast, p_value=p_value, comparisons=comparisons)
        for contrast, p_value in zip(contrasts, adjusted, strict=True)
    ]


def adjust_p_values(p_values: Sequence[float], comparisons: int) -> list[float]:
    """Return p values, in their order, corrected by Holm (1979) for a number of comparisons.

    That may be larger than the number of p values, if others were or might have been looked at.
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (comparisons - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def format_p_value(p_value: float) -> str:
    """Return a p value as text, such as `p = 0.41` or `p < 0.0001`."""
    if p_value < SMALLEST_SHOWN:
        return f"p < {SMALLEST_SHOWN:.4f}"
    return f"p = {p_value:.2f}" if p_value >= 0.1 else f"p = {p_value:.2g}"
