"""What Hydra says about a sweep: its grammar of several values, and the groups that run jobs.

`a,b`, `choice()`, `range()`, `interval()`, `tag(log, …)`, `glob()` are read by Hydra's own parser.
Its sweepers and launchers are not used: see docs/design.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from cnntrain.catalogue import CONF, options, user_folder
from cnntrain.compose import OF_A_SWEEP, composed, first_line, parse
from cnntrain.errors import SpecError, nearest

EXAMPLES = "seed=1,2,3 or initializer=glob(*)"


@dataclass(frozen=True)
class Machinery:
    """How a sweep runs: its settings, what names its jobs, what runs them, and where."""

    settings: dict[str, Any]
    sweeper: dict[str, Any]
    launcher: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Axis:
    """One key of a search: values to choose from, or numbers between two, both included."""

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    whole: bool = False

    def ends(self) -> list[str]:
        """The values that show what can be wrong: all choices, or both ends."""
        return list(self.choices) or [str(self.low), str(self.high)]


def of_a_sweep(text: str) -> bool:
    """Whether an override says how a sweep runs, and not what its jobs are."""
    return OF_A_SWEEP.fullmatch(parse(text).key_or_group) is not None


def machinery(overrides: Sequence[str], config_dir: str | None = None) -> Machinery:
    """Compose the overrides that `of_a_sweep` holds for, or raise SpecError."""
    for override in map(parse, overrides):
        check(override, config_dir)
    whole = composed(overrides, config_dir)
    ours = whole["hydra"]
    if not (folder := ours["sweep"]["dir"]):
        expected = "a directory for the sweep"
        raise SpecError("hydra.sweep.dir is empty", expected, "hydra.sweep.dir=mine")
    return Machinery(whole["sweep"], ours["sweeper"], ours["launcher"], Path(folder))


def check(override: Override, config_dir: str | None) -> None:
    """Refuse what no sweep has, an option that does not exist, several values."""
    key = override.key_or_group
    if key == "hydra.sweep.subdir":
        raise SpecError(f"{key} is given", "directories that the jobs give their names", None)
    if override.is_sweep_override():
        raise SpecError(f"{key} has several values", "one value for the whole sweep")
    if "/" in key:
        known, value = options(key, config_dir), override.get_value_element_as_str()
        if value not in known:
            close = nearest(value, known)
            raise SpecError(f"{key} is {value}", known, f"{key}={close}" if close else None)


def jobs(overrides: Sequence[str], config_dir: str | None = None) -> list[list[str]]:
    """The overrides of each job of a sweep: every combination, the last key varying fastest."""
    for override in map(parse, overrides):
        if override.is_interval_sweep():
            raise SpecError(
                f"{override.input_line} is no list of values",
                "values to combine, or a search",
                f"cnntrain -m hydra/sweeper=optuna {override.input_line}",
            )
    try:
        planned = BasicSweeper.split_arguments(parsed(overrides, config_dir), None)[0]
    except HydraException as error:
        raise SpecError(first_line(error), EXAMPLES) from None
    if not planned:
        empty = ", ".join(text for text in overrides if parse(text).is_sweep_override())
        raise SpecError(f"{empty} is no job", "at least one value for each key", EXAMPLES)
    return planned


def axes(overrides: Sequence[str], config_dir: str | None = None) -> list[Axis]:
    """The keys of a search, of overrides that each name several values."""
    return [axis(override) for override in parsed(overrides, config_dir)]


def axis(override: Override) -> Axis:
    """One key of a search, or SpecError for a single value or none."""
    key, sweep = override.get_key_element(), override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None
        assert sweep.end is not None
        low, high = sweep.start, sweep.end
        whole, log = isinstance(low, int) and isinstance(high, int), "log" in sweep.tags
        if low >= high or (log and low <= 0):
            raise SpecError(f"{override.input_line} is no interval", "two numbers, the lower first"
                            + (", above 0 for a logarithm" if log else ""))  # fmt: skip
        return Axis(key, low=low, high=high, log=log, whole=whole)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        numbers = list(sweep.range())
        if len(numbers) > 1:
            whole = all(isinstance(number, int) for number in numbers)
            return Axis(key, low=min(numbers), high=max(numbers), step=abs(sweep.step), whole=whole)
    choices = tuple(override.sweep_string_iterator()) if override.is_sweep_override() else ()
    if not choices:
        raise SpecError(
            f"{override.input_line} is nothing to search",
            "several values",
            f"{key}=interval(0,1), or tag(log, interval(1e-4, 1e-1)), or choice(a,b)",
        )
    return Axis(key, choices)


def parsed(overrides: Sequence[str], config_dir: str | None) -> list[Override]:
    """Overrides by Hydra's grammar; glob() finds options of ours and of the user's folder."""
    folder = user_folder(config_dir)
    places = create_config_search_path(str(CONF))
    if folder is not None:
        places.append("--config-dir", f"file://{folder.absolute()}")
    for text in overrides:
        parse(text)
    parser = OverridesParser.create(config_loader=ConfigLoaderImpl(places))
    return parser.parse_overrides(list(overrides))


def several(text: str) -> bool:
    """Whether an override takes more than one value."""
    return parse(text).is_sweep_override()


def key_of(text: str) -> str:
    """The key of an override, as its jobs have it."""
    return parse(text).get_key_element()
