"""Runs side by side: what differs between them, and their numbers over seeds, sorted."""

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cnntrain.errors import SpecError, escape_unprintable, find_nearest
from cnntrain.files.writing import escape_formula
from cnntrain.runs.results import RunResult
from cnntrain.spec.metrics import choose_tie_breaker, rank_by
from cnntrain.spec.signatures import GROUPS
from cnntrain.spec.spec import WITHOUT_EFFECT
from cnntrain.terminal.units import NO_VALUE

NUMBERS = (
    "valid.accuracy", "valid.loss", "valid.balanced_accuracy", "valid.macro_f1", "test.accuracy",
    "test.loss", "test.balanced_accuracy", "test.macro_f1", "train.accuracy", "train.loss",
    "best_epoch", "last_epoch", "seconds",
)  # fmt: skip
IMAGES_KEY = "images"  # stands among the settings where runs were judged by different ones
# How images look, not which they are, and what touches training images alone.
LOOK_SETTINGS = ("dataset.image_size", "dataset.resize", "dataset.channels", "dataset.cache")
TRAIN_SETTINGS = ("dataset.fraction", "dataset.label_noise")


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in nothing but their seed."""

    settings: Mapping[str, Any]  # those that differ between groups
    results: Sequence[RunResult]

    def collect_values(self, number: str) -> list[float]:
        """What its runs have of a number, each where it is known."""
        return [r.numbers[number] for r in self.results if number in r.numbers]

    def compute_mean(self, number: str) -> float | None:
        values = self.collect_values(number)
        return statistics.fmean(values) if values else None

    def compute_deviation(self, number: str) -> float | None:
        """The sample standard deviation over seeds; None for less than two runs."""
        values = self.collect_values(number)
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
    """Runs, and the number that they are sorted by."""

    results: Sequence[RunResult]
    sorted_by: str

    @cached_property
    def differences(self) -> dict[str, list[Any]]:
        """Each setting that is not the same in all runs, with the value of each run."""
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
        """The values, as texts, of the runs whose settings are known."""
        pairs = zip(values, self.results, strict=True)
        return {format_setting_value(value) for value, result in pairs if result.settings}

    @cached_property
    def varied_settings(self) -> list[str]:
        """The settings that tell the groups apart: not the seed, nor what an option brings along.

        A knob is left out if every run of the same option has the same value of it.
        """
        return [
            key
            for key, values in self.differences.items()
            if key != "seed" and not self.is_implied_by_option(key, values)
        ]

    def is_implied_by_option(self, key: str, values: Sequence[Any]) -> bool:
        group, _, knob = key.partition(".")
        if not knob or group not in GROUPS or group not in self.differences:
            return False
        pairs = [
            (chosen, format_setting_value(value))
            for chosen, value, result in zip(
                self.differences[group], values, self.results, strict=True
            )
            if result.has_spec
        ]
        return len(set(pairs)) == len({chosen for chosen, _ in pairs})

    @cached_property
    def groups(self) -> list[RunGroup]:
        """The groups, the best first; those without the number last."""
        members: dict[tuple[object, ...], list[RunResult]] = {}
        for result in self.results:
            values = [
                format_setting_value(result.settings.get(key, NO_VALUE))
                for key in self.varied_settings
            ]
            own = "" if result.settings else result.folder  # of which nothing is known
            members.setdefault((own, *values), []).append(result)
        groups = [
            RunGroup({key: rs[0].settings.get(key, NO_VALUE) for key in self.varied_settings}, rs)
            for rs in members.values()
        ]
        return sorted(groups, key=self.compute_sort_key)

    @cached_property
    def judging_image_sets(self) -> list[str]:
        """The images that runs were judged by, where these are not the same for all."""
        return list_distinct(
            r.settings[IMAGES_KEY] for r in self.results if IMAGES_KEY in r.settings
        )

    def compute_sort_key(self, group: RunGroup) -> tuple[int, bool, float, float]:
        """The mean, the loss where means are the same, as `best.keras` is chosen; none is last.

        Only runs that were judged by the same images are ranked together.
        """
        images = group.settings.get(IMAGES_KEY)
        place = (
            self.judging_image_sets.index(images)
            if images in self.judging_image_sets
            else len(self.judging_image_sets)
        )
        numbers = (self.sorted_by, choose_tie_breaker(self.sorted_by))
        means = {n: mean for n in numbers if (mean := group.compute_mean(n)) is not None}
        if self.sorted_by not in means:
            return place, True, 0, 0
        return place, False, *rank_by(self.sorted_by, means)

    def list_rows(self) -> list[dict[str, Any]]:
        """A row a run, in the order of the groups: how it ended, what is varied, its numbers."""
        keys = [*self.varied_settings, "seed"]
        return [
            {"run": str(result.folder), "status": result.status, "reason": result.reason}
            | {key: result.settings.get(key) for key in keys}
            | {number: result.numbers.get(number) for number in NUMBERS}
            for group in self.groups
            for result in group.results
        ]

    def to_json(self) -> dict[str, Any]:
        """All of it for scripts."""
        return {
            "sorted_by": self.sorted_by,
            "varied": self.varied_settings,
            "groups": [describe_group(group) for group in self.groups],
            "runs": self.list_rows(),
            "differences": self.differences,
        }

    def to_csv(self) -> str:
        """The rows of the runs as CSV."""
        rows, out = self.list_rows(), io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(escape_formula, rows[0]))
        writer.writerows([format_csv_cell(value) for value in row.values()] for row in rows)
        return out.getvalue()


def compare_runs(results: Sequence[RunResult], sort: str | None) -> Comparison:
    """Return a comparison, sorted by a number or by what most runs monitor."""
    if sort is not None and sort not in NUMBERS:
        close = find_nearest(sort, NUMBERS)
        raise SpecError(f"--sort is {sort}", NUMBERS, f"--sort {close}" if close else None)
    sort = sort or statistics.mode(result.monitor for result in results)
    names = name_judging_images(results, "test" if sort.startswith("test.") else "valid")
    if len({*names} - {""}) > 1:
        results = [
            replace(result, settings={**result.settings, IMAGES_KEY: label_images(result, name)})
            if name
            else result
            for result, name in zip(results, names, strict=True)
        ]
    return Comparison(results, sort)


def name_judging_images(results: Sequence[RunResult], part: str) -> list[str]:
    """For each run a name of the images of `part`, "" if it has told none: a fingerprint.

    Where runs of a set that is known by its name differ in nothing but how its images look, they
    are the same images. Runs of before told of all their images together.
    """
    if not all(
        part in result.image_fingerprints for result in results if result.image_fingerprints
    ):
        part = "all"
    names, first = list[str](), dict[str, tuple[str, str]]()
    for result in results:
        name = result.image_fingerprints.get(part, "")
        of_data = {k: v for k, v in result.settings.items() if k.partition(".")[0] == "dataset"}
        looks = format_setting_value({key: of_data.get(key) for key in LOOK_SETTINGS})
        which = format_setting_value(
            {k: v for k, v in of_data.items() if k not in (*LOOK_SETTINGS, *TRAIN_SETTINGS)}
        )
        before, shown = first.setdefault(which, (looks, name))
        names.append(shown if name and looks != before and not has_folder(result) else name)
    return names


def has_folder(result: RunResult) -> bool:
    """Whether a run's images are a user's own."""
    return result.settings.get("dataset.folder") is not None


def label_images(result: RunResult, name: str) -> str:
    """What people know images by, and how their fingerprint begins."""
    settings = result.settings
    known = settings.get("dataset.folder") or settings.get("dataset", "images")
    return f"{known} ({name[:8]})"


def describe_group(group: RunGroup) -> dict[str, Any]:
    numbers = {
        number: {
            "mean": group.compute_mean(number),
            "std": group.compute_deviation(number),
            "runs": len(values),
        }
        for number in NUMBERS
        if (values := group.collect_values(number))
    }
    names = [str(result.folder) for result in group.results]
    return {"settings": dict(group.settings), "runs": names, **numbers}


def is_without_effect(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in WITHOUT_EFFECT)


def compute_setting_order(key: str) -> tuple[int, str]:
    """Groups and their knobs first, in their order, then the other settings."""
    groups = [*GROUPS]
    group = key.partition(".")[0]
    return (groups.index(group) if group in groups else len(groups), key)


def format_setting_value(value: Any) -> str:
    """A setting as the command line has it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return escape_unprintable(str(value))


def format_csv_cell(value: Any) -> Any:
    """A value as a cell of CSV, which no spreadsheet runs."""
    shown = format_setting_value(value) if isinstance(value, list | dict) else value
    return "" if value is None else escape_formula(shown)


def list_distinct(values: Iterable[Any]) -> list[str]:
    """Values as texts, each once; numbers in their order, others as they came."""
    found = {format_setting_value(value): value for value in values}
    if all(is_number(value) for value in found.values()):
        return sorted(found, key=lambda shown: found[shown])
    return [*found]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
