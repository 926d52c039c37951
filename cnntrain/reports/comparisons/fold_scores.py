"""Scores over folds: their mean with an interval, and all images as judged out of fold."""

from collections.abc import Sequence
from dataclasses import dataclass

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
class FoldScores:
    """A metric over the folds of one setting, with the 95 % interval of its mean.

    `out_of_fold` is the number of images that were recognised by the run that did not train on
    them, and of all images; None where not every fold was tested.
    """

    metric: str
    values: dict[int, float]  # by fold, means over seeds
    folds: int
    mean: float
    interval: tuple[float, float]
    out_of_fold: tuple[int, int] | None

    def describe(self) -> str:
        """Return the scores as the end of a sentence."""
        low, high = self.interval
        name, count = self.metric.replace(".", " ").replace("_", " "), len(self.values)
        folds = f"{count} folds" if count == self.folds else f"{count} of {self.folds} folds"
        text = f"{name} {self.mean:.4f} over {folds} (95 % interval {low:.4f} to {high:.4f}, t)"
        if self.out_of_fold is not None:
            correct, images = self.out_of_fold
            low, high = compute_wilson_interval(correct, images)
            text += (
                f"; out of fold {correct:,} of {images:,} images are right, {correct / images:.4f} "
                f"(95 % interval {low:.4f} to {high:.4f}, Wilson)"
            )
        return text


def compute_fold_scores(results: Sequence[RunResult], fallback: str) -> FoldScores | None:
    """Return the scores of the runs of one setting over its folds; None for fewer than two folds.

    The metric is the accuracy on the split that the folds are, or `fallback` where runs have none.
    """
    part = find_held_out_part(results)
    metric = next((m for m in (f"{part}.accuracy", fallback) if average_by_fold(results, m)), "")
    values = average_by_fold(results, metric)
    if len(values) < 2:
        return None
    folds = count_folds(results)
    mean = sum(values.values()) / len(values)
    low, high = compute_fold_interval([*values.values()], folds)
    if metric.rpartition(".")[2] in HIGHER_IS_BETTER:
        low, high = max(0.0, low), min(1.0, high)
    pooled = pool_predictions(results, folds) if part == "test" else None
    return FoldScores(metric, values, folds, mean, (low, high), pooled)


def find_held_out_part(results: Sequence[RunResult]) -> str:
    """Return the split that folds are: valid if all runs have the same test images, else test."""
    tests = {result.image_fingerprints.get("test", "") for result in results} - {""}
    return "valid" if len(tests) == 1 else "test"


def pool_predictions(results: Sequence[RunResult], folds: int) -> tuple[int, int] | None:
    """Return how many test images of all folds together are recognised, and how many they are.

    They are those of one seed, the first of which every fold has finished; None if there is none.
    """
    by_seed: dict[str, dict[int, RunResult]] = {}
    for result in results:
        if result.status == "finished" and (fold := find_fold(result)) is not None:
            by_seed.setdefault(str(result.settings.get("seed")), {})[fold] = result
    for runs in by_seed.values():
        if sorted(runs) != [*range(folds)]:
            continue
        predictions = [read_test_predictions(run) for run in runs.values()]
        right, images = 0, 0
        for arrays in predictions:
            if isinstance(arrays, str) or arrays["labels"].ndim != 1:
                return None
            right += int((arrays["classes"][:, 0] == arrays["labels"]).sum())
            images += len(arrays["labels"])
        return right, images
    return None
