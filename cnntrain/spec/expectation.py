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

# As many degrees of freedom the binomial variance of the images counts beside that of the seeds.
PRIOR_DEGREES = 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What our runs of a recipe gave: a number for each seed, and where and when they trained.

    The accuracies are of the weights that validation chose (`best`) and of the last epoch
    (`final`), on the validation and the test images, and on views of these (`test_views`). Those on
    validation images are empty for a recipe that has none (`dataset.valid=0`).
    """

    seeds: list[Seed]
    valid_best: list[Fraction]
    valid_final: list[Fraction]
    test_best: list[Fraction]
    test_final: list[Fraction]
    epochs: Count
    seconds: list[Positive]  # from the command to its end, of a machine that may do other work, too
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
    test_best_views: list[Fraction] | None = None
    test_final_views: list[Fraction] | None = None
    precision: str | None = None  # what `precision: auto` came to; None in older records


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of a recipe; `measured` is None where nobody has run it here yet."""

    source: str
    settings: Literal["source", "ours"]  # as the source has them, or as we know better
    published: dict[Literal["valid", "test"], Fraction] | None = None  # accuracies
    published_note: str | None = None
    metric: Literal[
        "valid_best", "valid_final", "test_best", "test_final", "test_best_views",
        "test_final_views",
    ]  # fmt: skip
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
OPTIONAL_MEASURED = {"test_best_views": None, "test_final_views": None, "precision": None}


def convert_expectation(values: Any, file: Path | str) -> Expectation:
    """Return the `expect` record with the values of a mapping.

    Raises SpecError, which names `file` and the key, for a wrong key or value, and for lists that
    do not have one number for each seed, among them that of `metric`; and for a metric of
    validation where there is none.
    """
    if not isinstance(values, Mapping):
        raise SpecError(f"{file}: expect is {format_value(values)}", "source, settings, metric, …")
    given = OPTIONAL | dict(values)
    if isinstance(given["measured"], Mapping):
        given["measured"] = OPTIONAL_MEASURED | dict(given["measured"])
    try:
        fields = dict(convert_all(given, RECORDS["Expectation"].fields, "expect"))
    except SpecError as error:
        raise SpecError(f"{file}: {error.given}", error.expected) from None
    if (measured := fields["measured"]) is not None:
        fields["measured"] = Measured(**measured)
        lengths = {key: len(value) for key, value in measured.items() if isinstance(value, tuple)}
        without = () if "valid" in measured["images"] else ("valid_best", "valid_final")
        if fields["metric"] in without:
            what = f"{file}: expect.metric is {fields['metric']} and there are no images of valid"
            raise SpecError(what, "a metric on the test images", "test_final")
        if len({length for key, length in lengths.items() if key not in without}) > 1:
            raise SpecError(f"{file}: expect.measured has {lengths}", "one number for each seed")
        if fields["metric"] not in lengths:
            what = f"{file}: expect.measured has no {fields['metric']}, which is expect.metric"
            raise SpecError(what, "one number for each seed")
    return Expectation(**fields)


def read_expectation(file: Path) -> Expectation | None:
    """Return the `expect` record of a recipe's file, or None if it has none.

    Raises SpecError as `convert_expectation` does, and for a metric of views that no run has.
    """
    settings = load_option_file(file)
    if (values := settings.get("expect")) is None:
        return None
    expected = convert_expectation(values, file)
    if expected.metric.endswith("_views") and settings.get("test_views", "none") == "none":
        what = f"{file}: expect.metric is {expected.metric}, and test_views is none"
        raise SpecError(what, "another metric, or test_views", "test_views: mirrored_shifted")
    return expected


def digest_recipe(file: Path) -> str:
    """Return a digest of the settings in a recipe's file, without its `expect` record."""
    settings = {key: value for key, value in load_option_file(file).items() if key != "expect"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def compute_interval(measured: Measured, metric: str, runs: int = 1) -> Interval:
    """Return where the mean `metric` of new `runs` lies with a probability of about 99 %.

    Two or three seeds say little about how much seeds vary: they may happen to be alike. Therefore
    their variance is moderated (Smyth 2004, doi:10.2202/1544-6115.1027): the binomial variance of
    the evaluated images counts as PRIOR_DEGREES degrees of freedom beside those of the seeds. The
    interval is the prediction interval of Student's t with the degrees of both. If seeds vary twice
    as much as images do, it holds about 96 %.
    """
    from scipy.special import stdtrit  # not needed to compose a spec

    values = getattr(measured, metric)
    count, mean = len(values), statistics.fmean(values)
    between_seeds = statistics.stdev(values) if count > 1 else 0.0
    images = measured.images[metric.partition("_")[0]]  # type: ignore[index]
    of_images = (mean * (1 - mean) / images) ** 0.5
    degrees = PRIOR_DEGREES + count - 1
    squares = PRIOR_DEGREES * of_images**2 + (count - 1) * between_seeds**2
    deviation = (squares / degrees) ** 0.5
    half = float(stdtrit(degrees, 0.995)) * deviation * (1 / count + 1 / runs) ** 0.5
    reason = (
        f"99 % of runs are expected there: our {count} seeds deviate by {100 * between_seeds:.2f} "
        f"points, and {images:,} images have a standard error of {100 * of_images:.2f}"
    )
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Interval(mean, between_seeds, low, high, reason)
