"""Compose overrides and `conf/` into a plain configuration.

Overrides are checked before Hydra sees them. An error that Hydra still raises becomes a SpecError:
given, expected, try.
"""

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnntrain.errors import SpecError, format_choices
from cnntrain.files.paths import expand_user_path
from cnntrain.spec.about import KINDS, About, convert_about
from cnntrain.spec.components import fill_in_component, fill_in_knobs
from cnntrain.spec.expectation import Expectation, convert_expectation
from cnntrain.spec.hints import DEVICE_WORDS, choose_devices, choose_option
from cnntrain.spec.hydra_config import explain_hydra_error, load_hydra_config, shorten_error
from cnntrain.spec.hydra_private import borrow_hydra
from cnntrain.spec.knobs import format_value
from cnntrain.spec.metrics import MONITORS, SEVERAL_LABELS_MONITORS
from cnntrain.spec.option_files import CHOICES, CONF, find_option_files, load_option
from cnntrain.spec.overrides import TEXT_SETTINGS, ParsedOverride, parse_override, quote_literal
from cnntrain.spec.places import peek_several_labels
from cnntrain.spec.renames import rename_overrides, rename_settings
from cnntrain.spec.signatures import GROUPS

# The keys that say how a sweep runs; they are no part of a job's spec.
SWEEP_KEYS = re.compile(
    r"sweep(\..+)?|hydra\.sweep\.dir|hydra/(sweeper|launcher)|hydra\.(sweeper|launcher)\..+"
)
RUN_DIR = "hydra.run.dir"
HYDRA_KEYS = re.compile(r"hydra\b.*")
PACKAGE_LINE = re.compile(r"\s*#\s*@package\b")


@dataclass(frozen=True)
class ComposedConfig:
    """A composed configuration, the directory of its run, and the option chosen of each group."""

    config: dict[str, Any]
    run_dir: Path
    choices: dict[str, str]


# Settings that are lists: without brackets, Hydra reads `1,2` as two values of a sweep.
LIST_SETTINGS = (
    "distribution.workers", "distribution.devices", "dataset.classes", "dataset.image_size",
    "dataset.value_range",
)  # fmt: skip


def compose_config(overrides: Sequence[str], config_dir: str | None = None) -> ComposedConfig:
    """Return the configuration of `conf/` with the overrides of a command line.

    The options in the folder `config_dir` can be chosen like those of `conf/`. Raises SpecError for
    a wrong override.
    """
    return compose_parsed([parse_run_override(w) for w in rename_overrides(overrides)], config_dir)


def parse_run_override(text: str) -> ParsedOverride:
    """Parse an override of a run; raise SpecError for a setting of a sweep."""
    override = parse_override(text)
    if SWEEP_KEYS.fullmatch(override.key_or_group):
        raise SpecError(f"{text} is for a sweep", "a setting of a run", f"cnntrain -m {text} …")
    return override


@borrow_hydra()
def compose_parsed(overrides: Sequence[ParsedOverride], config_dir: str | None) -> ComposedConfig:
    """Return the configuration of `conf/` with the parsed overrides of a run."""
    whole = compose_whole_config(overrides, config_dir)
    config, hydra = whole, whole.pop("hydra")
    run_dir, choices = hydra["run"]["dir"], hydra["choices"]
    del config["sweep"]
    if "expect" in config:
        recipe = choices.get("experiment", "")
        file = find_option_files("experiment", config_dir).get(recipe, Path("expect"))
        check_needs(convert_expectation(config.pop("expect"), file), config, recipe)
    if not run_dir:
        raise SpecError("hydra.run.dir is empty", "a directory for the run", "hydra.run.dir=my_run")
    for group in GROUPS:
        if isinstance(knobs := config.get(group), dict):
            files, option = find_option_files(group, config_dir), choices.get(group, group)
            convert_about(
                knobs.pop("about", None), KINDS.get(group, About), files.get(option, option)
            )
            name_first = sorted(knobs, key=lambda key: key != "name")
            config[group] = {
                key: fill_in_component(knobs[key], key, config_dir)
                if key in GROUPS
                else fill_in_knobs(knobs[key], files)
                for key in name_first
            }
    keys = {override.key_or_group for override in overrides}
    if config.get("minutes") is not None and "epochs" in keys:
        raise SpecError(
            "minutes and epochs are both given", "one end of the run", f"epochs={config['epochs']}"
        )
    check_test_size(keys, config)
    composed = resolve_monitor(rename_settings(config, keys))
    return ComposedConfig(composed, expand_user_path(run_dir), choices)


def resolve_monitor(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the metric that `monitor=auto` means for its data set."""
    if config.get("monitor") != "auto":
        return dict(config)
    monitors = SEVERAL_LABELS_MONITORS if peek_several_labels(config) else MONITORS
    return {**config, "monitor": monitors[0]}


def check_needs(expected: Expectation, config: Mapping[str, Any], recipe: str) -> None:
    """Raise SpecError if a recipe needs the weights of another one, and they are not given."""
    for setting, needed in (expected.needs or {}).items():
        if config.get(setting) is None:
            raise SpecError(
                f"{recipe} needs {setting}",
                f"a run of {needed}: {setting}=RUN",
                f"cnntrain reproduce {recipe}",
            )


def check_test_size(keys: Collection[str], config: Mapping[str, Any]) -> None:
    """Raise SpecError if the command line gives a test split's size where folds decide it."""
    knobs = config["dataset"] if isinstance(config["dataset"], Mapping) else {}
    if "dataset.test" in keys and (folds := knobs.get("folds")) is not None:
        raise SpecError(
            f"dataset.test is {format_value(knobs['test'])} and dataset.folds is {folds}",
            f"no size of the test split, which is one of {folds} folds",
            "dataset.folds=null dataset.fold=null",
        )


@borrow_hydra()
def compose_whole_config(
    overrides: Sequence[ParsedOverride], config_dir: str | None
) -> dict[str, Any]:
    """Return all settings as plain values; `hydra` holds the few of Hydra's own that are used."""
    for override in overrides:
        check_override(override, config_dir)
    try:
        whole = load_hydra_config([o.input_line or o.text for o in overrides], config_dir)
        ours = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        plain = OmegaConf.to_container(ours, resolve=True)
        assert isinstance(plain, dict)
        hydra = {key: resolve_node(whole.hydra[key]) for key in ("sweeper", "launcher")}
        hydra |= {key: {"dir": whole.hydra[key].dir} for key in ("run", "sweep")}
        choices = whole.hydra.runtime.choices
        hydra["choices"] = {group: str(choices[group]) for group in CHOICES if choices.get(group)}
    except (HydraException, OmegaConfBaseException) as error:
        raise explain_hydra_error(error, overrides, config_dir) from None
    return {str(key): value for key, value in plain.items()} | {"hydra": hydra}


def resolve_node(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True)


def check_override(override: ParsedOverride, config_dir: str | None) -> None:
    """Raise SpecError for an override with several values, no setting, or no option of a group."""
    key, text = override.key_or_group, override.text
    if HYDRA_KEYS.fullmatch(key):
        check_hydra_setting(override)
    if override.is_sweep_override():
        if key in LIST_SETTINGS:
            whole = f"'{key}=[{text.partition('=')[2]}]'"
            raise SpecError(f"{text} has no brackets", "one list, in quotes", whole)
        hint, value = f"cnntrain -m {text}", text.partition("=")[2]
        if key in TEXT_SETTINGS:
            hint = shlex.quote(f'{key}="{value}"')
        elif key in DEVICE_WORDS:
            hint = choose_devices(value)
        expected = "one value, or -m to sweep over them"
        raise SpecError(f"{text} names several values", expected, hint)
    group, _, knob = key.partition(".")
    if group in GROUPS and knob.partition(".")[0] == "about":
        raise SpecError(f"{key} is not a setting", "a knob; about holds facts about an option")
    if group == "expect":
        raise SpecError(f"{key} is not a setting", "a setting; expect says what a recipe gave")
    group = key.removesuffix(".name")
    if group in CHOICES:
        check_choice(override, group, config_dir)


def check_hydra_setting(override: ParsedOverride) -> None:
    """Raise SpecError for a setting of Hydra's own that would have no effect here."""
    key, text = override.key_or_group, override.text
    known = key == RUN_DIR or SWEEP_KEYS.fullmatch(key)
    added = override.type is OverrideType.ADD and not key.startswith(
        ("hydra.launcher.", "hydra.sweeper.")
    )
    if not known or added or override.is_delete():
        raise SpecError(
            f"{text} is not a setting",
            "hydra.run.dir of a run; hydra.sweep.dir, hydra/launcher, hydra/sweeper and their "
            "settings of a sweep",
        )


def check_choice(override: ParsedOverride, group: str, config_dir: str | None) -> None:
    """Raise SpecError for an override that names no option of a group, or deletes the group."""
    key, text = override.key_or_group, override.text
    files = find_option_files(group, config_dir)
    if override.is_delete():
        raise SpecError(
            f"{group} is deleted", f"an option of it: {format_options(files, '', group)}"
        )
    value = "" if (chosen := override.value()) is None else str(chosen)
    hint = choose_option(group, value, files) if value else None
    expected = format_options(files, value, group)
    if key != group:
        raise SpecError(
            f"{text} would keep the settings of the option that it replaces",
            f"an option: {expected}",
            hint,
        )
    if override.is_add():
        raise SpecError(f"{text} adds a second option to the group", "one option", hint)
    if value not in files:
        raise SpecError(f"{group} is {value or format_value(chosen)}", expected, hint)
    check_option(group, files[value], config_dir)


def format_options(options: Iterable[str], value: str, group: str) -> str:
    """Return the options of a group, or those nearest to `value` and the command that lists all."""
    text = format_choices(options, Path(value).stem)
    return f"{text}: cnntrain list {group}" if "…" in text else text


def check_option(group: str, file: Path, config_dir: str | None) -> None:
    """Raise SpecError if an option's file cannot be read, or sets what no option may set."""
    option = load_option(file)
    if file.is_relative_to(CONF):
        return
    if foreign_keys := [key for key in ("hydra", "sweep") if key in option]:
        raise SpecError(
            f"{file} sets {foreign_keys[0]}", "settings of a run, not of where and how it is run"
        )
    if PACKAGE_LINE.match(file.read_text(encoding="utf-8")) and group != "experiment":
        raise SpecError(f"{file} begins with # @package", "that line in a recipe only")
    try:
        load_hydra_config([f"{group}={quote_literal(file.stem)}"], config_dir)
    except Exception as error:  # Hydra and OmegaConf raise anything for a file like this
        raise SpecError(
            f"{file} cannot be used: {shorten_error(error)}",
            "names and values of settings, and options that exist",
        ) from None
