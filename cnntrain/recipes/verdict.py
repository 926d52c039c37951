"""Hold runs to what a recipe expects: they agree, differ, or cannot be compared.

Runs are compared only if they are whole, on as many images as ours, and on the same kind of device
and backend. If their images are not byte for byte ours, the verdict says so.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cnntrain.errors import Diverged
from cnntrain.recipes.catalogue import Recipe
from cnntrain.runs.directory import Run
from cnntrain.runs.results import RunResult, describe_status, read_run
from cnntrain.runs.strangers import read_record, read_report
from cnntrain.spec.expectation import Interval, Measured, compute_interval, digest_recipe
from cnntrain.terminal.units import format_percent

EXIT_CODES = {"agrees": 0, "differs": 1, "cannot be compared": 3}


@dataclass(frozen=True)
class SeedRun:
    """One run of a recipe: its seed, its results, and its value of the recipe's metric, or None."""

    seed: int
    result: RunResult
    value: float | None
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Whether runs agree with a recipe, and why, in whole sentences.

    `interval` is where their mean must lie, or None for a recipe that was not measured.
    """

    recipe: Recipe
    kind: Literal["agrees", "differs", "cannot be compared"]
    reasons: tuple[str, ...]
    runs: tuple[SeedRun, ...]
    interval: Interval | None
    overrides: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.kind]

    @property
    def mean(self) -> float | None:
        """The mean value of the runs that have one, or None."""
        values = [run.value for run in self.runs if run.value is not None]
        return statistics.fmean(values) if values else None

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain values: accuracies between 0 and 1."""
        expected, interval = self.recipe.expected, self.interval
        return {
            "recipe": self.recipe.name,
            "verdict": self.kind,
            "reasons": list(self.reasons),
            "overrides": list(self.overrides),
            "metric": expected.metric,
            "published": expected.published_value,
            "source": expected.source,
            "measured_mean": interval.mean if interval else None,
            "interval": [interval.low, interval.high] if interval else None,
            "mean": self.mean,
            "runs": [
                {"seed": run.seed, "folder": str(run.result.folder), "value": run.value,
                 "status": run.result.status, "epochs": len(run.result.history),
                 "seconds": run.result.seconds}
                for run in self.runs
            ],
        }  # fmt: skip


def read_seed_run(folder: Path, seed: int, metric: str) -> SeedRun:
    """Return a run of a recipe with its value of a metric: `test_best`, `test_final_views`."""
    result, run = read_run(folder), Run(folder)
    split, weights, *views = metric.split("_")
    part = "_".join([split, *views])  # of report.json
    value = read_report(run).get(part, {}).get(weights, {}).get("accuracy")
    return SeedRun(seed, result, value, read_record(run))


def judge_runs(
    recipe: Recipe, runs: Sequence[SeedRun], overrides: Sequence[str] = (), missing: str = ""
) -> Verdict:
    """Return the verdict on the runs of a recipe that were trained with further `overrides`.

    `missing` says, as a sentence, which runs have not begun, if any.
    """
    measured, metric = recipe.expected.measured, recipe.expected.metric
    interval = None if measured is None else compute_interval(measured, metric, max(1, len(runs)))

    def decide(kind: Any, reasons: Sequence[str]) -> Verdict:
        return Verdict(recipe, kind, tuple(reasons), tuple(runs), interval, tuple(overrides))

    obstacles = list_differences(recipe, runs)
    if measured is None or interval is None or obstacles:
        return decide("cannot be compared", obstacles or [missing])
    if diverged := [run for run in runs if run.record.get("kind") == Diverged.__name__]:
        return decide("differs", [f"The run of seed {diverged[0].seed} diverged; ours did not."])
    unfinished = [
        reason for run in runs if (reason := explain_unfinished(run, measured, recipe.metric_name))
    ]
    if missing or unfinished or not runs:
        return decide("cannot be compared", [*unfinished, *([missing] if missing else [])])
    values = [run.value for run in runs if run.value is not None]
    mean = statistics.fmean(values)
    what = f"{format_percent(mean)} is the {recipe.metric_name}"
    what += f", the mean of {len(values)} seeds" if len(values) > 1 else ""
    between = f"{format_percent(interval.low)} to {format_percent(interval.high)}"
    other_images = any(
        run.record.get("data", {}).get("fingerprint") != measured.fingerprint for run in runs
    )
    others = "The images are not byte for byte those that we measured with."
    notes = [others] if other_images else []
    if interval.low <= mean <= interval.high:
        return decide("agrees", [f"{what}, within {between}.", *notes])
    sentence = f"{what}, outside of {between}."
    if other_images and not overrides:
        return decide("cannot be compared", [sentence, others])
    return decide("differs", [sentence, *notes])


def list_differences(recipe: Recipe, runs: Sequence[SeedRun]) -> list[str]:
    """Return in what the runs are not of the kind that was measured, in whole sentences."""
    measured = recipe.expected.measured
    if measured is None:
        return ["Nobody has measured this recipe yet."]
    reasons = []
    if digest_recipe(recipe.file) != measured.recipe:
        reasons.append("The recipe has other settings now than when it was measured.")
    for run in runs:
        name, record = f"The run of seed {run.seed}", run.record
        sizes = record.get("data", {}).get("sizes")
        if sizes is not None and sizes != measured.images:
            ours = format_sizes(measured.images)
            reasons.append(f"{name} has {format_sizes(sizes)} images, ours {ours}.")
        device, backend = record.get("device", {}).get("kind"), record.get("backend", "tensorflow")
        if device is not None and (device, backend) != (measured.device, measured.backend):
            reasons.append(
                f"{name} was trained on a {device} with {backend}, ours on a {measured.device} "
                f"with {measured.backend}."
            )
        precision = run.result.settings.get("precision")
        if None not in (precision, measured.precision) and precision != measured.precision:
            reasons.append(f"{name} was trained in {precision}, ours in {measured.precision}.")
    return reasons


def explain_unfinished(run: SeedRun, measured: Measured, metric_name: str) -> str | None:
    """Return why a run is not as long as those that were measured, or what it lacks, or None."""
    result, name, epochs = run.result, f"The run of seed {run.seed}", len(run.result.history)
    if result.status != "finished":
        reason = f": {result.reason}" if result.reason else ""
        return f"{name} {describe_status(result.status)} after {epochs} epochs{reason}."
    if epochs != measured.epochs:
        return f"{name} has {epochs} epochs, and ours {measured.epochs}."
    return f"{name} has no {metric_name}." if run.value is None else None


def format_sizes(sizes: Mapping[Any, int]) -> str:
    return " + ".join(f"{count:,} {split}" for split, count in sizes.items()) or "unknown"
