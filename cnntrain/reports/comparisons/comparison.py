"""Compare runs: the settings that differ, and the metrics of runs grouped over seeds and sorted."""

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from cnntrain.analysis.significance import Contrast
from cnntrain.errors import SpecError, escape_unprintable, find_nearest
from cnntrain.files.writing import escape_formula
from cnntrain.reports.comparisons.contrasts import (
    FOLD,
    contrast_with_best,
    convert_contrast,
    describe_contrast,
    find_fold,
)
from cnntrain.reports.comparisons.evaluation_images import (
    IMAGES_KEY,
    REPEATED,
    collect_image_fingerprints,
    format_image_set,
    name_fold_sets,
)
from cnntrain.reports.comparisons.fold_scores import FoldScores, compute_fold_scores
from cnntrain.runs.results import RunResult
from cnntrain.spec.metrics import SEVERAL_LABELS_COLUMNS, choose_tie_breaker, rank_by
from cnntrain.spec.signatures import GROUPS
from cnntrain.spec.spec import is_without_effect
from cnntrain.terminal.units import NO_VALUE

METRICS = (
    "valid.accuracy", "valid.loss", "valid.balanced_accuracy", "valid.macro_f1", "test.accuracy",
    "test.loss", "test.balanced_accuracy", "test.macro_f1", "train.accuracy", "train.loss",
    "best_epoch", "last_epoch", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in nothing but seed and fold, or in settings without an effect."""

    settings: Mapping[str, Any]  # only those that differ between groups
    results: Sequence[RunResult]

    def collect_values(self, metric: str) -> list[float]:
        """Return the values of a metric, such as valid.accuracy, of the runs that have it."""
        return [r.numbers[metric] for r in self.results if metric in r.numbers]

    def compute_mean(self, metric: str) -> float | None:
        """Return the mean of a metric over the runs; None if no run has it."""
        values = self.collect_values(metric)
        return statistics.fmean(values) if values else None

    def compute_deviation(self, metric: str) -> float | None:
        """Return the sample standard deviation of a metric; None for fewer than two runs."""
        values = self.collect_values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def __str__(self) -> str:
        return (
            ", ".join(
                f"{key}={format_setting_value(value)}" for key, value in self.settings.items()
            )
            or "all"
        )


@dataclass(frozen=True)
class Comparison:
    """Runs, and the metric that they are sorted by."""

    results: Sequence[RunResult]
    sorted_by: str

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of rows and groups, with those of several labels if a run has them."""
        has_several = "mean_average_precision" in self.headlines
        return (*METRICS, *SEVERAL_LABELS_COLUMNS) if has_several else METRICS

    @cached_property
    def headlines(self) -> list[str]:
        """The metrics that runs are known by: accuracy, mean average precision, or both."""
        return list_distinct(result.headline for result in self.results)

    @cached_property
    def differences(self) -> dict[str, list[Any]]:
        """The settings that are not the same in all runs, with the value of each run."""
        keys = sorted(
            {key for result in self.results for key in result.settings}, key=compute_setting_order
        )
        values = {key: [r.settings.get(key, NO_VALUE) for r in self.results] for key in keys}
        return {
            key: found
            for key, found in values.items()
            if not is_without_effect(key) and len(self.collect_known_values(found)) > 1
        }

    def collect_known_values(self, values: Sequence[Any]) -> set[str]:
        """Return the distinct values of a setting, as texts, over runs whose settings are known."""
        pairs = zip(values, self.results, strict=True)
        return {make_grouping_key(value) for value, result in pairs if result.settings}

    @cached_property
    def varied_settings(self) -> list[str]:
        """The settings that differ between groups, without those that follow from an option.

        A knob follows from an option if all runs with the same option have the same value of it.
        """
        return [
            key
            for key, values in self.differences.items()
            if key not in REPEATED and not self.is_implied_by_option(key, values)
        ]

    def is_implied_by_option(self, key: str, values: Sequence[Any]) -> bool:
        """Return whether a setting is a knob whose value follows from the option of its group."""
        group, _, knob = key.partition(".")
        if not knob or group not in GROUPS or group not in self.differences:
            return False
        pairs = [
            (option, make_grouping_key(value))
            for option, value, result in zip(
                self.differences[group], values, self.results, strict=True
            )
            if result.has_spec
        ]
        return len(set(pairs)) == len({option for option, _ in pairs})

    @cached_property
    def groups(self) -> list[RunGroup]:
        """The groups, sorted by the set of evaluation images and then the best first."""
        members: dict[tuple[object, ...], list[RunResult]] = {}
        for result in self.results:
            values = [
                make_grouping_key(result.settings.get(key, NO_VALUE))
                for key in self.varied_settings
            ]
            own = (
                "" if result.settings else result.folder
            )  # a run of unknown settings is a group of its own
            members.setdefault((own, *values), []).append(result)
        groups = [
            RunGroup({key: rs[0].settings.get(key, NO_VALUE) for key in self.varied_settings}, rs)
            for rs in members.values()
        ]
        return sorted(groups, key=self.compute_sort_key)

    @cached_property
    def evaluation_image_sets(self) -> list[str]:
        """Names of the image sets that runs were evaluated on; empty if all had the same one."""
        return list_distinct(
            r.settings[IMAGES_KEY] for r in self.results if IMAGES_KEY in r.settings
        )

    def compute_sort_key(self, group: RunGroup) -> tuple[int, bool, float, float]:
        """Return a key that sorts groups the best first, by their mean, and then by their loss.

        It is the order in which `best.keras` is chosen; groups without the metric are last. Only
        runs that were evaluated on the same images are ranked together, one set after another.
        """
        images = group.settings.get(IMAGES_KEY)
        place = (
            self.evaluation_image_sets.index(images)
            if images in self.evaluation_image_sets
            else len(self.evaluation_image_sets)
        )
        metrics = (self.sorted_by, choose_tie_breaker(self.sorted_by))
        means = {n: mean for n in metrics if (mean := group.compute_mean(n)) is not None}
        if self.sorted_by not in means:
            return place, True, 0, 0
        return place, False, *rank_by(self.sorted_by, means)

    @cached_property
    def contrasts(self) -> list[Contrast | str]:
        """What a test says of the first group (A) and each of the others (B), in their order.

        Where no test is possible stands the reason. Groups on different images have no contrasts.
        """
        if len(self.evaluation_image_sets) > 1:
            return []
        names = collect_image_fingerprints(self.results, "test")
        images = {r.folder: name for r, name in zip(self.results, names, strict=True)}
        groups = [group.results for group in self.groups]
        return contrast_with_best(groups, self.sorted_by, images)

    @property
    def are_repeats(self) -> bool:
        """Whether these are several runs of the same spec, seed included."""
        has_settings = len(self.results) > 1 and all(result.settings for result in self.results)
        return has_settings and not self.differences

    @property
    def has_folds(self) -> bool:
        """Whether a run holds out a fold."""
        return any(find_fold(result) is not None for result in self.results)

    @property
    def repeats(self) -> str:
        """What the runs of a group differ in: seed, fold, or fold and seed."""
        if not self.has_folds:
            return "seed"
        seeds = [{str(r.settings.get("seed")) for r in group.results} for group in self.groups]
        return "fold and seed" if any(len(own) > 1 for own in seeds) else "fold"

    @cached_property
    def fold_scores(self) -> list[FoldScores | None]:
        """The scores of each group over its folds; None for one with fewer than two."""
        return [compute_fold_scores(group.results, self.sorted_by) for group in self.groups]

    def describe_fold_scores(self) -> list[str]:
        """Return a sentence on each group that has scores over folds."""
        pairs = zip(self.groups, self.fold_scores, strict=True)
        texts = [(str(group), scores.describe()) for group, scores in pairs if scores is not None]
        if self.varied_settings:
            return [f"{name}: {text}." for name, text in texts]
        return [f"{text[0].upper()}{text[1:]}." for _, text in texts]

    def name_group(self, group: RunGroup) -> str:
        """Return the name of a group: its settings, or that of its first run if none differ."""
        return str(group) if self.varied_settings else group.results[0].name

    def describe_contrasts(self) -> list[str]:
        """Return a sentence for each contrast: what the test says, or why there is none."""
        first, *others = map(self.name_group, self.groups)
        pairs = zip(self.contrasts, others, strict=False)
        return [describe_contrast(contrast, first, other) for contrast, other in pairs]

    def list_rows(self) -> list[dict[str, Any]]:
        """Return a row for each run, in the order of the groups: status, settings and metrics."""
        keys = [*self.varied_settings, "seed", *([FOLD] if self.has_folds else [])]
        return [
            {"run": str(result.folder), "status": result.status, "reason": result.reason}
            | {key: result.settings.get(key) for key in keys}
            | {metric: result.numbers.get(metric) for metric in self.metrics}
            for group in self.groups
            for result in group.results
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the whole comparison for JSON."""
        return {
            "sorted_by": self.sorted_by,
            "varied": self.varied_settings,
            "groups": [
                describe_group(group, self.metrics)
                | ({} if scores is None else {"folds": asdict(scores)})
                for group, scores in zip(self.groups, self.fold_scores, strict=True)
            ],
            "contrasts": [
                {"first": 0, "other": place, **convert_contrast(contrast), "sentence": sentence}
                for place, (contrast, sentence) in enumerate(
                    zip(self.contrasts, self.describe_contrasts(), strict=True), 1
                )
            ],
            "runs": self.list_rows(),
            "differences": self.differences,
        }

    def to_csv(self) -> str:
        """Return the rows of the runs as the text of a CSV file."""
        rows, text = self.list_rows(), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(escape_formula, rows[0]))
        writer.writerows([format_csv_cell(value) for value in row.values()] for row in rows)
        return text.getvalue()


def compare_runs(results: Sequence[RunResult], sort: str | None) -> Comparison:
    """Return a comparison sorted by the metric `sort`, or else by what most runs monitor.

    If that is of validation and a run has none, they are sorted by their test accuracy. Raises
    SpecError for an unknown metric.
    """
    known = (*METRICS, *SEVERAL_LABELS_COLUMNS)
    if sort is not None and sort not in known:
        close = find_nearest(sort, known)
        raise SpecError(f"--sort is {sort}", known, f"--sort {close}" if close else None)
    if sort is None:
        sort = statistics.mode(result.monitor for result in results)
        if sort.startswith("valid.") and not all(result.is_validated for result in results):
            sort = f"test.{statistics.mode(result.headline for result in results)}"
    names = collect_image_fingerprints(results, "test" if sort.startswith("test.") else "valid")
    names = name_fold_sets(results, names)
    if len({*names} - {""}) > 1:
        results = [
            replace(
                result, settings={**result.settings, IMAGES_KEY: format_image_set(result, name)}
            )
            if name
            else result
            for result, name in zip(results, names, strict=True)
        ]
    return Comparison(results, sort)


def describe_group(group: RunGroup, known: Sequence[str]) -> dict[str, Any]:
    """Return a group for JSON: its settings and runs, mean and deviation of each known metric."""
    metrics = {
        metric: {
            "mean": group.compute_mean(metric),
            "std": group.compute_deviation(metric),
            "runs": len(values),
        }
        for metric in known
        if (values := group.collect_values(metric))
    }
    names = [str(result.folder) for result in group.results]
    return {"settings": dict(group.settings), "runs": names, **metrics}


def compute_setting_order(key: str) -> tuple[int, str]:
    """Return a sort key: groups with their knobs in the order of GROUPS, then other settings."""
    groups = [*GROUPS]
    group = key.partition(".")[0]
    return (groups.index(group) if group in groups else len(groups), key)


def format_setting_value(value: Any) -> str:
    """Return a short text of a setting's value for people; floats have six digits."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return escape_unprintable(str(value))


def make_grouping_key(value: Any) -> str:
    """Return a text that is the same only for equal values of a setting."""
    return f"{value:.17g}" if isinstance(value, float) else format_setting_value(value)


def format_csv_cell(value: Any) -> Any:
    """Return a value for a cell of CSV, escaped so that no spreadsheet runs it."""
    cell = format_setting_value(value) if isinstance(value, list | dict) else value
    return "" if value is None else escape_formula(cell)


def list_distinct(values: Iterable[Any]) -> list[str]:
    """Return distinct values as texts: numbers sorted, others in their order."""
    by_text = {format_setting_value(value): value for value in values}
    if all(is_number(value) for value in by_text.values()):
        return sorted(by_text, key=lambda text: by_text[text])
    return [*by_text]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
