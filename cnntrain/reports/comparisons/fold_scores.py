"""Scores over folds: their mean with an interval, and all images as judged out of fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, mode

import numpy as np

from cnntrain.analysis.label_scores import compute_average_precisions, compute_defined_mean
from cnntrain.analysis.significance import compute_fold_interval, compute_wilson_interval
from cnntrain.reports.comparisons.contrasts import (
    average_by_fold,
    count_folds,
    find_fold,
    read_test_predictions,
)
from cnntrain.runs.results import RunResult
from cnntrain.spec.metrics import HIGHER_IS_BETTER


@dataclass(frozen=True)
class OutOfFold:
    """All `images`, each judged by the run that did not train on it.

    `correct` of them were recognised; of images with several labels, where that is None, the
    `mean_average_precision` over the probabilities of all runs together.
    """

    images: int
    correct: int | None
    mean_average_precision: float | None

    def describe(self) -> str:
        """Return the scores as the end of a sentence."""
        if self.correct is None:
            return (
                f"out of fold the mean average precision over all {self.images:,} images together "
                f"is {self.mean_average_precision:.4f}"
            )
        low, high = compute_wilson_interval(self.correct, self.images)
        return (
            f"out of fold {self.correct:,} of {self.images:,} images are right, "
            f"{self.correct / self.images:.4f} (95 % interval {low:.4f} to {high:.4f}, Wilson)"
        )


@dataclass(frozen=True)
class FoldScores:
    """A metric over the folds of one setting, with the 95 % interval of its mean.

    `out_of_fold` is None where not every fold was tested.
    """

    metric: str
    values: dict[int, float]  # by fold, means over seeds
    folds: int
    mean: float
    interval: tuple[float, float]
    out_of_fold: OutOfFold | None

    def describe(self) -> str:
        """Return the scores as the end of a sentence."""
        low, high = self.interval
        name, count = self.metric.replace(".", " ").replace("_", " "), len(self.values)
        folds = f"{count} folds" if count == self.folds else f"{count} of {self.folds} folds"
        text = f"{name} {self.mean:.4f} over {folds} (95 % interval {low:.4f} to {high:.4f}, t)"
        return text if self.out_of_fold is None else f"{text}; {self.out_of_fold.describe()}"


def compute_fold_scores(results: Sequence[RunResult], fallback: str) -> FoldScores | None:
    """Return the scores of the finished runs of one setting over its folds.

    The metric is the accuracy on the split that the folds are, of several labels the mean average
    precision, or `fallback` where runs have none. Returns None for fewer than two folds.
    """
    results = [result for result in results if result.status == "finished"]
    if not results:
        return None
    part = find_held_out_part(results)
    headline = f"{part}.{mode(result.headline for result in results)}"
    metric = next((m for m in (headline, fallback) if average_by_fold(results, m)), "")
    values = average_by_fold(results, metric)
    if len(values) < 2:
        return None
    folds = count_folds(results)
    low, high = compute_fold_interval([*values.values()], folds)
    if metric.rpartition(".")[2] in HIGHER_IS_BETTER:
        low, high = max(0.0, low), min(1.0, high)
    pooled = pool_predictions(results, folds) if part == "test" else None
    return FoldScores(metric, values, folds, fmean(values.values()), (low, high), pooled)


def find_held_out_part(results: Sequence[RunResult]) -> str:
    """Return the split that folds are: valid if all runs have the same test images, else test."""
    tests = {result.image_fingerprints.get("test", "") for result in results} - {""}
    return "valid" if len(tests) == 1 else "test"


def pool_predictions(results: Sequence[RunResult], folds: int) -> OutOfFold | None:
    """Return the scores of the test images of all folds together.

    They are those of one seed, the first of which every fold has finished; None if there is none.
    """
    by_seed: dict[str, dict[int, RunResult]] = {}
    for result in results:
        if (fold := find_fold(result)) is not None:
            by_seed.setdefault(str(result.settings.get("seed")), {})[fold] = result
    for runs in by_seed.values():
        if sorted(runs) != [*range(folds)]:
            continue
        predictions = list[Mapping[str, np.ndarray]]()
        for run in runs.values():
            arrays = read_test_predictions(run)
            if isinstance(arrays, str):
                return None
            predictions.append(arrays)
        return score_together(predictions)
    return None


def score_together(predictions: Sequence[Mapping[str, np.ndarray]]) -> OutOfFold:
    """Return the scores of the arrays of predictions.npz of runs on the same kind of labels."""
    labels = np.concatenate([arrays["labels"] for arrays in predictions])
    if labels.ndim == 2:
        probabilities = np.concatenate([arrays["probabilities"] for arrays in predictions])
        precisions = compute_average_precisions(probabilities, labels)
        return OutOfFold(len(labels), None, compute_defined_mean(precisions))
    called = np.concatenate([arrays["classes"][:, 0] for arrays in predictions])
    return OutOfFold(len(labels), int((called == labels).sum()), None)
