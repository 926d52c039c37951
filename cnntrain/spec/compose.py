"""From overrides to a plain configuration: the only use of Hydra's Compose API.

What can be wrong with an override is checked here first; what Hydra still refuses is told again in
our words: given, expected, try.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

from cnntrain.errors import SpecError, nearest, one_of
from cnntrain.spec.hints import DEVICES, choose_devices, choose_option, option_with, suggest
from cnntrain.spec.knobs import show
from cnntrain.spec.option_files import CHOICES, CONF, load, options, user_folder
from cnntrain.spec.overrides import TEXTS, parse, quote_texts, quoted
from cnntrain.spec.signatures import GROUPS

# The keys that say how a sweep runs; no job's spec knows of them.
OF_A_SWEEP = re.compile(
    r"sweep(\..+)?|hydra\.sweep\.dir|hydra/(sweeper|launcher)|hydra\.(sweeper|launcher)\..+"
)
RUN_DIR = "hydra.run.dir"
OF_HYDRA = re.compile(r"hydra\b.*")
PACKAGE_LINE = re.compile(r"\s*#\s*@package\b")
MACHINES = ("hydra/sweeper", "hydra/launcher")


@dataclass(frozen=True)
class Composed:
    """A configuration, and where Hydra would put what comes of it."""

    config: dict[str, Any]
    run_dir: Path


# Settings that are lists: without brackets Hydra takes one for several values.
LISTS = (
    "distribution.workers", "distribution.devices", "dataset.classes", "dataset.image_size",
    "dataset.value_range",
)  # fmt: skip


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Composed:
    """Compose `conf/` with command line overrides; options in `config_dir` count as ours."""
    for override in map(parse, overrides):
        if OF_A_SWEEP.fullmatch(override.key_or_group):
            text = override.input_line
            raise SpecError(f"{text} is for a sweep", "what a run knows", f"cnntrain -m {text} …")
    whole = composed(overrides, config_dir)
    config, run_dir = whole, whole.pop("hydra")["run"]["dir"]
    del config["sweep"]
    if not run_dir:
        raise SpecError("hydra.run.dir is empty", "a directory for the run", "hydra.run.dir=my_run")
    for group in GROUPS:
        if isinstance(knobs := config.get(group), dict):
            known = options(group, config_dir)
            config[group] = {key: completed(value, known) for key, value in knobs.items()}
    return Composed(config, Path(run_dir))


def composed(overrides: Sequence[str], config_dir: str | None) -> dict[str, Any]:
    """Everything, as plain values: of Hydra's own only what is used."""
    parsed = [parse(text) for text in overrides]
    for override in parsed:
        check(override, config_dir)
    try:
        whole = hydra([quote_texts(text) for text in overrides], config_dir)
        ours = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        plain = OmegaConf.to_container(ours, resolve=True)
        assert isinstance(plain, dict)
        own = {key: used(whole.hydra[key]) for key in ("sweeper", "launcher")}
        own |= {key: {"dir": whole.hydra[key].dir} for key in ("run", "sweep")}
    except (HydraException, OmegaConfBaseException) as error:
        raise retold(error, parsed, config_dir) from None
    return {str(key): value for key, value in plain.items()} | {"hydra": own}


def used(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True)


def completed(value: Any, known: Mapping[str, Path]) -> Any:
    """A list of components, such as `augmentation.ops`, with the knobs that they leave out.

    They are those in the file of the option that a component names. Other values stay.
    """
    if not isinstance(value, list):
        return value
    parts = []
    for part in value:
        if isinstance(part, dict) and (name := str(part.get("name"))) in known:
            given = {key: completed(knob, known) for key, knob in part.items() if key != "name"}
            parts.append(load(known[name]) | given)
        else:
            parts.append(part)
    return parts


def hydra(overrides: list[str], config_dir: str | None) -> DictConfig:
    """Hydra's whole configuration, its own settings included."""
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    # Not `initialize_config_dir` and hydra.searchpath: a folder may have any name.
    Hydra.create_main_hydra2("cnntrain", places(config_dir))
    for group in ("launcher", "sweeper"):  # plugins' own, as which Hydra would read ours
        ConfigStore.instance().repo["hydra"].get(group, {}).clear()
    whole = hydra_compose("config", overrides=overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    return whole


def places(config_dir: str | None) -> ConfigSearchPath:
    """Where options are looked for: in `conf/`, and in the user's own folder."""
    found, folder = create_config_search_path(str(CONF)), user_folder(config_dir)
    if folder is not None:
        found.prepend("--config-dir", f"file://{folder}", anchor="schema")  # which Hydra wants last
    return found


def check(override: Override, config_dir: str | None) -> None:
    """Refuse an override that names several values, no option of a group, or a bare name."""
    key, text = override.key_or_group, override.input_line or ""
    if OF_HYDRA.fullmatch(key):
        check_machinery(override)
    if override.is_sweep_override():
        if key in LISTS:
            whole = f"'{key}=[{text.partition('=')[2]}]'"
            raise SpecError(f"{text} has no brackets", "one list, in quotes", whole)
        hint, value = f"cnntrain -m {text}", text.partition("=")[2]
        if key in TEXTS:
            hint = shlex.quote(f'{key}="{value}"')
        elif key in DEVICES:
            hint = choose_devices(value)
        expected = "one value, or -m to sweep over them"
        raise SpecError(f"{text} names several values", expected, hint)
    group = key.removesuffix(".name")
    if group in CHOICES:
        check_choice(override, group, config_dir)


def check_machinery(override: Override) -> None:
    """Refuse settings of Hydra's own that would do nothing here."""
    key, text = override.key_or_group, override.input_line or ""
    known = key == RUN_DIR or OF_A_SWEEP.fullmatch(key)
    added = override.type is OverrideType.ADD and not key.startswith(
        ("hydra.launcher.", "hydra.sweeper.")
    )
    if not known or added or override.is_delete():
        raise SpecError(
            f"{text} is not a setting",
            "hydra.run.dir of a run; hydra.sweep.dir, hydra/launcher, hydra/sweeper and their "
            "settings of a sweep",
        )


def check_choice(override: Override, group: str, config_dir: str | None) -> None:
    """Refuse what is no option of a group, or would leave the group without one."""
    key, text = override.key_or_group, override.input_line or ""
    known = options(group, config_dir)
    if override.is_delete():
        raise SpecError(f"{group} is taken out", f"an option of it: {few_of(known, '', group)}")
    value = "" if (meant := override.value()) is None else str(meant)
    hint = choose_option(group, value, known) if value else None
    expected = few_of(known, value, group)
    if key != group:
        raise SpecError(f"{text} would keep another's knobs", f"an option: {expected}", hint)
    if override.is_add():
        raise SpecError(f"{text} adds a second option to the group", "one option", hint)
    if value not in known:
        raise SpecError(f"{group} is {value or show(meant)}", expected, hint)
    check_option(group, known[value], config_dir)


def few_of(known: Iterable[str], value: str, group: str) -> str:
    """The options of a group, or those nearest to `value` and the command that lists all."""
    text = one_of(known, Path(value).stem)
    return f"{text}: cnntrain list {group}" if "…" in text else text


def check_option(group: str, file: Path, config_dir: str | None) -> None:
    """Refuse an option's file that cannot be read, or sets what no option may."""
    option = load(file)
    if file.is_relative_to(CONF):
        return
    if not_its := [key for key in ("hydra", "sweep") if key in option]:
        raise SpecError(f"{file} sets {not_its[0]}", "what a run is, not where and how it is run")
    if PACKAGE_LINE.match(file.read_text(encoding="utf-8")) and group != "experiment":
        raise SpecError(f"{file} begins with # @package", "that line in a recipe only")
    try:
        hydra([f"{group}={quoted(file.stem)}"], config_dir)
    except Exception as error:  # Hydra and OmegaConf raise anything for a file like this
        raise SpecError(
            f"{file} cannot be used: {first_line(error)}",
            "names and values of settings, and options that exist",
        ) from None


def retold(error: Exception, overrides: list[Override], config_dir: str | None) -> SpecError:
    """A refusal by Hydra or OmegaConf, in our words."""
    if isinstance(error, OmegaConfBaseException):
        where = f"{error.full_key}: " if error.full_key else ""
        return SpecError(
            where + first_line(error), "settings, or oc.env variables, that exist", None
        )
    chosen = [
        quote_texts(override.input_line or "")
        for override in overrides
        if override.key_or_group in CHOICES or override.key_or_group.startswith("hydra/")
    ]
    keys = leaves(OmegaConf.to_container(hydra(chosen, config_dir)))
    for override in overrides:
        key = override.key_or_group
        if key not in keys and key not in CHOICES and not key.startswith("hydra/"):
            return unknown_key(override, keys)
        if first_line(error) == f"Could not override '{key}'":  # of a list that was given anew
            text = override.input_line
            return SpecError(f"{text}: it is not given yet", "+ before the setting", f"+{text}")
        if key in TEXTS and key in first_line(error):
            return SpecError(f"{override.input_line} names nothing", "a path or a name")
    if isinstance(error.__cause__, ConfigTypeError):
        kind = "a list" if error.__cause__.object_type is list else "settings, each by its name"
        return SpecError(first_line(error).removeprefix("Error merging override "), kind)
    return SpecError(first_line(error), "options and settings that fit together")


def unknown_key(override: Override, keys: list[str]) -> SpecError:
    """Say which keys there are beside the one that is not."""
    key, hint = override.key_or_group, None
    parent, _, last = key.rpartition(".")
    beside = [k for k in keys if k.rpartition(".")[0] == parent and not k.endswith(".name")]
    beside = [k for k in beside if k != "hydra"]
    if not override.is_delete() and "/" not in key:
        value = (override.input_line or "").partition("=")[2]
        if not parent:
            hint = suggest(key, value, keys)
        elif close := nearest(last, [k.rpartition(".")[2] for k in beside if k not in CHOICES]):
            hint = shlex.quote(f"{parent}.{close}={value}")
        elif (group := parent.replace("hydra.", "hydra/")) in (*CHOICES, *MACHINES):
            hint = option_with(group, last, value)
    expected = one_of(beside, last) if beside else "a setting or a group …"
    help = ": cnntrain --help" if "…" in expected else ""
    return SpecError(f"{key} is not a setting", f"{expected}{help}", hint)


def leaves(node: Any, prefix: str = "") -> list[str]:
    """The keys of a nested mapping, dotted, its inner nodes included; a list's are its numbers."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return []
    keys = []
    for key, value in node.items():
        keys += [f"{prefix}{key}", *leaves(value, f"{prefix}{key}.")]
    return keys


def first_line(error: BaseException) -> str:
    text = str(error) or str(error.__cause__) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")
