"""Expand the overrides of a sweep into jobs, or into the axes of a search.

`a,b`, `choice()`, `range()`, `interval()`, `tag(log, …)`, `glob()` are read by Hydra's own parser.
Hydra's own sweepers and launchers are not used: see docs/design/sweeps.md.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, RangeSweep
from hydra.errors import HydraException

from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.files.paths import expand_user_path
from cnntrain.spec.compose import (
    RUN_DIR,
    SWEEP_KEYS,
    check_hydra_setting,
    compose_whole_config,
)
from cnntrain.spec.hydra_config import HYDRA_GROUPS, shorten_error
from cnntrain.spec.hydra_private import borrow_hydra, start_hydra
from cnntrain.spec.knobs import format_value
from cnntrain.spec.option_files import CONF, find_config_folder, find_option_files, load_option
from cnntrain.spec.overrides import ParsedOverride

MAX_JOBS = 10_000
OVERRIDE_EXAMPLES = "seed=1,2,3 or initializer=glob(*)"


@dataclass(frozen=True)
class SweepSetup:
    """How a sweep runs: the settings `sweep.*`, of its sweeper and its launcher, and its folder."""

    settings: dict[str, Any]
    sweeper: dict[str, Any]
    launcher: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Axis:
    """A key of a search, with `choices`, or with numbers from `low` to `high`, both included."""

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    is_integer: bool = False

    def list_extremes(self) -> list[str]:
        """Return the values to check before a search: all choices, or both ends."""
        return list(self.choices) or [str(self.low), str(self.high)]


def is_sweep_setting(override: ParsedOverride) -> bool:
    """Return whether an override says how a sweep runs, and not what its jobs are."""
    return SWEEP_KEYS.fullmatch(override.key_or_group) is not None


def compose_sweep_setup(
    overrides: Sequence[ParsedOverride], config_dir: str | None = None
) -> SweepSetup:
    """Compose the overrides for which `is_sweep_setting` holds; raise SpecError if one is wrong."""
    for override in overrides:
        check_sweep_setting(override, config_dir)
    config = compose_whole_config(overrides, config_dir)
    section = config["hydra"]
    for group in HYDRA_GROUPS:
        check_group_settings(group, section[group.partition("/")[2]])
    if not (folder := section["sweep"]["dir"]):
        expected = "a directory for the sweep"
        raise SpecError("hydra.sweep.dir is empty", expected, "hydra.sweep.dir=mine")
    own, launcher, sweeper = config["sweep"], section["launcher"], section["sweeper"]
    return SweepSetup(own, sweeper, launcher, expand_user_path(folder))


def check_sweep_setting(override: ParsedOverride, config_dir: str | None) -> None:
    """Raise SpecError for an unknown setting or option of a sweep, and for several values."""
    key, text = override.key_or_group, override.text
    if key == "sweep":
        raise SpecError(f"{text} is for all settings of a sweep at once", "each by its name",
                        "sweep.jobs=2")  # fmt: skip
    if key in ("hydra.sweeper.name", "hydra.launcher.name"):
        group, value = key.removesuffix(".name").replace(".", "/"), override.value()
        hint = f"{group}={value}" if value in find_option_files(group) else None
        raise SpecError(
            f"{text} would keep the settings of the option that it replaces",
            find_option_files(group, config_dir),
            hint,
        )
    if override.is_sweep_override():
        raise SpecError(f"{key} has several values", "one value for the whole sweep")
    if "/" in key:
        options, value = find_option_files(key, config_dir), override.value()
        if value not in options:
            close = find_nearest(value, options)
            raise SpecError(
                f"{key} is {format_value(value)}", options, f"{key}={close}" if close else None
            )


def check_group_settings(group: str, values: Mapping[str, Any]) -> None:
    """Raise SpecError for an unknown sweeper or launcher, and for a setting that it lacks."""
    section, options = group.replace("/", "."), find_option_files(group)
    if (name := values.get("name")) not in options:
        raise SpecError(
            f"{section}.name is {format_value(name)}", options, f"{group}={next(iter(options))}"
        )
    settings = load_option(options[name])
    for key in values:
        # submitit takes many more settings than its option file lists.
        if key not in settings and not name.startswith("submitit"):
            choices = [f"{section}.{setting}" for setting in settings if setting != "name"]
            expected = format_choices(choices, key) if choices else f"no settings: {name} has none"
            raise SpecError(f"{section}.{key} is not a setting", expected)


def check_job_override(override: ParsedOverride) -> None:
    """Raise SpecError for an override of Hydra's own settings, which no job may have."""
    text = override.text
    if override.key_or_group == RUN_DIR:
        hint = text.replace(RUN_DIR, "hydra.sweep.dir", 1)
        raise SpecError(f"{text} is for a run", "a directory for all jobs of the sweep", hint)
    if override.key_or_group.startswith("hydra"):
        check_hydra_setting(override)


def expand_jobs(
    overrides: Sequence[ParsedOverride], config_dir: str | None = None
) -> list[list[str]]:
    """Return the overrides of each job of a sweep, for every combination of values.

    The last key varies fastest. Raises SpecError for an interval, for no job and for too many jobs.
    """
    for override in overrides:
        if override.is_interval_sweep():
            raise SpecError(
                f"{override.text} is no list of values",
                "values to combine, or a search",
                f"cnntrain -m hydra/sweeper=optuna {override.text}",
            )
    read = attach_config_loader(overrides, config_dir)
    if math.prod(map(count_values, read)) > MAX_JOBS:
        raise SpecError(
            f"the sweep would have more than {MAX_JOBS:,} jobs", f"at most {MAX_JOBS:,}"
        )
    try:
        values = {override.get_key_element(): list_job_overrides(override) for override in read}
    except HydraException as error:
        raise SpecError(shorten_error(error), OVERRIDE_EXAMPLES) from None
    planned = [list(job) for job in itertools.product(*values.values())]
    if not planned:
        empty = ", ".join(one.text for one in overrides if one.is_sweep_override())
        raise SpecError(f"{empty} has no values, so that the sweep has no jobs",
                        "at least one value for each key", OVERRIDE_EXAMPLES)  # fmt: skip
    return planned


def list_job_overrides(override: ParsedOverride) -> list[str]:
    """Return an override of a sweep as the overrides of single jobs, one for each of its values."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def count_values(override: ParsedOverride) -> int:
    """Return how many values an override has; a range is not listed, because it may be huge.

    More than MAX_JOBS values of a range count as MAX_JOBS + 1. Raises SpecError for a range without
    an end.
    """
    values = override.value()
    if not isinstance(values, RangeSweep):
        return len(list(override.sweep_iterator())) if override.is_sweep_override() else 1
    start, stop, step = (
        Decimal(str(number)) for number in (values.start, values.stop, values.step)
    )
    if step == 0 or not (start.is_finite() and stop.is_finite() and step.is_finite()):
        raise SpecError(f"{override.text} has no end", "a step other than 0, and numbers")
    return max(0, math.ceil(min((stop - start) / step, Decimal(MAX_JOBS + 1))))


def parse_axes(overrides: Sequence[ParsedOverride], config_dir: str | None = None) -> list[Axis]:
    """Return the axes of a search from overrides with several values each."""
    return [parse_axis(override) for override in attach_config_loader(overrides, config_dir)]


def parse_axis(override: ParsedOverride) -> Axis:
    """Return the axis of an override; raise SpecError for a single value and for an empty list."""
    key, sweep = override.get_key_element(), override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None
        assert sweep.end is not None
        low, high = sweep.start, sweep.end
        whole, log = isinstance(low, int) and isinstance(high, int), "log" in sweep.tags
        if low >= high or (log and low <= 0):
            raise SpecError(f"{override.text} is not an interval",
                            "two numbers, the lower first"
                            + (", above 0 for a logarithm" if log else ""))  # fmt: skip
        return Axis(key, low=low, high=high, log=log, is_integer=whole)
    if override.is_sweep_override() and count_values(override) > MAX_JOBS:
        raise SpecError(f"{override.text} has too many values", f"at most {MAX_JOBS:,}",
                        f"{key}=interval(LOW,HIGH)")  # fmt: skip
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        numbers = list(sweep.range())
        if len(numbers) > 1:
            whole = all(isinstance(number, int) for number in numbers)
            return Axis(
                key, low=min(numbers), high=max(numbers), step=abs(sweep.step), is_integer=whole
            )
    choices = tuple(override.sweep_string_iterator()) if override.is_sweep_override() else ()
    if not choices:
        raise SpecError(
            f"{override.text} is not several values, which a search needs",
            "several values",
            f"{key}=interval(0,1), or tag(log, interval(1e-4, 1e-1)), or choice(a,b)",
        )
    return Axis(key, choices)


def attach_config_loader(
    overrides: Sequence[ParsedOverride], config_dir: str | None
) -> list[ParsedOverride]:
    """Return overrides with the loader that glob() needs to find our options and the user's."""
    with borrow_hydra():
        loader = start_hydra(CONF, find_config_folder(config_dir))
    return [replace(override, config_loader=loader) for override in overrides]
