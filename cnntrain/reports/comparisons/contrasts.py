"""Test whether the best of several settings is better than each other one.

Settings with two folds or more in common are compared over these, others with two seeds or more
over their seeds, others by a run of each on the same test images. Because the numbers chose the
best of k settings, p values are corrected for all pairs, k (k - 1) / 2, and not for the k - 1 that
are told.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.analysis.significance import (
    Contrast,
    compare_folds,
    compare_paired,
    compare_seeds,
    correct_for_many,
)
from cnntrain.errors import SpecError
from cnntrain.runs.directory import Run
from cnntrain.runs.results import RunResult
from cnntrain.runs.strangers import read_predictions, read_record
from cnntrain.spec.metrics import HIGHER_IS_BETTER, higher_is_better

FOLD, FOLDS = "dataset.fold", "dataset.folds"


def contrast_with_best(
    groups: Sequence[Sequence[RunResult]], metric: str, images: Mapping[Path, str]
) -> list[Contrast | str]:
    """Return what a test says of the first group (A) and each other one (B), or why there is none.

    A group holds runs that differ in seed and fold. `metric` is the one that is compared over
    these, and `images` has the fingerprint of the test images of each run by its folder.
    """
    found = [contrast_groups(groups[0], other, metric, images) for other in groups[1:]]
    tested = [c for c in found if isinstance(c, Contrast)]
    pairs = len(tested) * (len(tested) + 1) // 2
    corrected = iter(correct_for_many(tested, pairs))
    return [next(corrected) if isinstance(c, Contrast) else c for c in found]


def contrast_groups(
    best: Sequence[RunResult],
    other: Sequence[RunResult],
    metric: str,
    images: Mapping[Path, str],
) -> Contrast | str:
    """Return what a test says of two groups of runs, uncorrected, or why there is none."""
    runs = [select_finished_runs(group, metric) for group in (best, other)]
    if not all(runs):
        return f"one of them has no finished run with {metric}"
    a, b = ({seed: r.numbers[metric] for seed, r in by_seed.items()} for by_seed in runs)
    words: dict[str, Any] = {
        "metric": metric.replace(".", " ").replace("_", " "),
        "higher_is_better": higher_is_better(metric),
        "is_share": metric.rpartition(".")[2] in HIGHER_IS_BETTER,
    }
    finished = [[r for r in group if r.status == "finished"] for group in (best, other)]
    folds_a, folds_b = (average_by_fold(group, metric) for group in finished)
    if len(common := sorted(folds_a.keys() & folds_b.keys())) > 1:
        folds = count_folds(finished[0])
        pairs = [(folds_a[fold], folds_b[fold]) for fold in common]
        return compare_folds(pairs, folds, **words)
    if min(len(a), len(b)) > 1:
        return compare_seeds(a, b, **words)
    if "." not in metric:
        return f"{metric} of one run each says nothing of other runs"
    seed_a, seed_b = next(((seed, seed) for seed in a if seed in b), (next(iter(a)), next(iter(b))))
    return contrast_runs(runs[0][seed_a], runs[1][seed_b], images)


def find_fold(result: RunResult) -> int | None:
    """Return which fold a run holds out; None for a run without folds."""
    fold, folds = result.settings.get(FOLD), result.settings.get(FOLDS)
    is_fold = type(fold) is int and type(folds) is int and 0 <= fold < folds > 1
    return fold if is_fold else None


def count_folds(group: Sequence[RunResult]) -> int:
    """Return how many folds the images of a group's runs are divided into."""
    return max(result.settings[FOLDS] for result in group if find_fold(result) is not None)


def average_by_fold(group: Sequence[RunResult], metric: str) -> dict[int, float]:
    """Return the mean of a metric over the seeds of each fold, by the fold; {} without folds."""
    values: dict[int, list[float]] = {}
    for result in group:
        if (fold := find_fold(result)) is not None and metric in result.numbers:
            values.setdefault(fold, []).append(result.numbers[metric])
    return {fold: statistics.fmean(values[fold]) for fold in sorted(values)}


def select_finished_runs(group: Sequence[RunResult], metric: str) -> dict[Any, RunResult]:
    """Return the finished runs that have a metric by their seed, one for each seed."""
    finished = [r for r in group if r.status == "finished" and metric in r.numbers]
    return {result.settings.get("seed"): result for result in finished}


def contrast_runs(a: RunResult, b: RunResult, images: Mapping[Path, str]) -> Contrast | str:
    """Return what McNemar's test says of two runs on the same test images, or why it cannot."""
    names = images.get(a.folder), images.get(b.folder)
    if not all(names):
        return "run.json of one of them does not name its test images"
    if names[0] != names[1]:
        return "they were tested on different images"
    predictions = list[Mapping[str, np.ndarray]]()
    for result in (a, b):
        arrays = read_test_predictions(result)
        if isinstance(arrays, str):
            return arrays
        predictions.append(arrays)
    if any("thresholds" in arrays for arrays in predictions):
        return "their images may have several labels, for which a run of each is too few"
    if not np.array_equal(predictions[0]["labels"], predictions[1]["labels"]):
        return "their test images have different labels"
    return compare_paired(*(p["classes"][:, 0] == p["labels"] for p in predictions))


def read_test_predictions(result: RunResult) -> Mapping[str, np.ndarray] | str:
    """Return the arrays of a run's predictions.npz, or in words why they cannot be used."""
    try:
        classes = read_record(Run(result.folder)).get("class_names", [])
        arrays, reason = read_predictions(result.folder, len(classes))
    except (SpecError, OSError) as error:
        return str(getattr(error, "given", error))
    if arrays:
        return arrays
    lack = f"cannot be used: {reason}" if reason else "is missing"
    return f"predictions.npz of {result.name} {lack}"


def describe_contrast(contrast: Contrast | str, a: str, b: str) -> str:
    """Return a contrast of A and B as a sentence, also where it is only a reason for none."""
    if isinstance(contrast, str):
        return f"No test tells whether {a} is better than {b}: {contrast}."
    return contrast.describe(a, b)


def convert_contrast(contrast: Contrast | str) -> dict[str, Any]:
    """Return a contrast for JSON; the verdict is None where there is no test."""
    if isinstance(contrast, str):
        return {"verdict": None, "reason": contrast}
    return {"verdict": contrast.verdict, **asdict(contrast)}
