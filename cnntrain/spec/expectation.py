"""The `expect` record of a recipe: what its source reports, what we measured, and how they compare.

It stands in the recipe's file, and no spec holds it. `cnntrain reproduce` holds runs to it, and
docs/recipes.md is written from it.
"""

import hashlib
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count, Fraction, Positive, Seed, convert_all, format_value
from cnntrain.spec.option_files import load_option_file
from cnntrain.spec.signatures import collect_vocabulary

# A 99 % prediction interval of a normal distribution reaches this many standard deviations.
NORMAL_99 = 2.576


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What our runs of a recipe gave: a number for each seed, and where and when they trained.

    The accuracies are of the weights that validation chose (`best`) and of the last epoch
    (`final`), on the validation and the test images.
    """

    seeds: list[Seed]
    valid_best: list[Fraction]
    valid_final: list[Fraction]
    test_best: list[Fraction]
    test_final: list[Fraction]
    epochs: Count
    seconds: list[Positive]  # from the first image read to the last number
    cpu_seconds: list[Positive]  # of all cores; other programs that run beside do not count
    images: dict[Literal["train", "valid", "test"], Count]
    fingerprint: str  # of all images, as in run.json
    recipe: str  # digest of the recipe's settings, which must still be those that were measured
    device: Literal["CPU", "GPU"]
    backend: Literal["tensorflow", "jax"]
    machine: str
    cores: Count
    versions: dict[str, str]
    date: str


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of a recipe; `measured` is None where nobody has run it here yet."""

    source: str
    settings: Literal["source", "ours"]  # as the source has them, or as we know better
    published: dict[Literal["valid", "test"], Fraction] | None = None  # accuracies
    published_note: str | None = None
    metric: Literal["valid_best", "valid_final", "test_best", "test_final"]
    needs: dict[str, str] | None = None  # setting -> the recipe whose best weights it takes
    hours: Positive | None = None  # that an unmeasured recipe wants on two cores, estimated
    note: str | None = None
    measured: Measured | None = None

    @property
    def published_value(self) -> float | None:
        """The published accuracy on the split of `metric`, or None."""
        return (self.published or {}).get(self.metric.partition("_")[0])  # type: ignore[call-overload]


@dataclass(frozen=True)
class Interval:
    """The accuracies that a new run must fall between, and why the interval is as wide as it is."""

    mean: float
    between_seeds: float  # standard deviation; 0 of a single seed
    low: float
    high: float
    reason: str


RECORDS = collect_vocabulary(Path(__file__))
OPTIONAL = {
    "published": None, "published_note": None, "needs": None, "hours": None, "note": None,
    "measured": None,
}  # fmt: skip


def convert_expectation(values: Any, file: Path | str) -> Expectation:
    """Return the `expect` record with the values of a mapping.

    Raises SpecError, which names `file` and the key, for a wrong key or value, and for lists that
    do not have one number for each seed.
    """
    if not isinstance(values, Mapping):
        raise SpecError(f"{file}: expect is {format_value(values)}", "source, settings, metric, …")
    try:
        fields = dict(convert_all(OPTIONAL | dict(values), RECORDS["Expectation"].fields, "expect"))
    except SpecError as error:
        raise SpecError(f"{file}: {error.given}", error.expected) from None
    if (measured := fields["measured"]) is not None:
        fields["measured"] = Measured(**measured)
        lengths = {key: len(value) for key, value in measured.items() if isinstance(value, tuple)}
        if len(set(lengths.values())) > 1:
            raise SpecError(f"{file}: expect.measured has {lengths}", "one number for each seed")
    return Expectation(**fields)


def read_expectation(file: Path) -> Expectation | None:
    """Return the `expect` record of a recipe's file, or None if it has none."""
    values = load_option_file(file).get("expect")
    return None if values is None else convert_expectation(values, file)


def digest_recipe(file: Path) -> str:
    """Return a digest of the settings in a recipe's file, without its `expect` record."""
    settings = {key: value for key, value in load_option_file(file).items() if key != "expect"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def compute_interval(measured: Measured, metric: str, runs: int = 1) -> Interval:
    """Return where the mean `metric` of new `runs` lies with a probability of 99 %.

    It is the prediction interval of a normal distribution whose standard deviation is that between
    our seeds, but at least the binomial standard error of the evaluated images: a few seeds that
    happen to be alike say too little, and seeds differ on single images at random.
    """
    values = getattr(measured, metric)
    count, mean = len(values), statistics.fmean(values)
    between_seeds = statistics.stdev(values) if count > 1 else 0.0
    images = measured.images[metric.partition("_")[0]]  # type: ignore[index]
    of_images = (mean * (1 - mean) / images) ** 0.5
    deviation = max(between_seeds, of_images)
    half = NORMAL_99 * deviation * (1 / count + 1 / runs) ** 0.5
    seeds, error = f"{100 * between_seeds:.2f} %", f"{100 * of_images:.2f} %"
    wider = (
        f"the standard deviation of {seeds} between the seeds"
        if between_seeds >= of_images
        else f"the standard error of {images:,} images, {error}, which is more than the {seeds} "
        "between the seeds"
    )
    reason = f"99 % of runs are expected there, by {wider}"
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Interval(mean, between_seeds, low, high, reason)
