"""From overrides to a plain configuration: the only use of Hydra's Compose API.

What can be wrong with an override is checked here first; what Hydra still refuses is told again in
our words: given, expected, try.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

from cnntrain.catalogue import CHOICES, CONF, load, options, user_folder
from cnntrain.components import GROUPS
from cnntrain.errors import SpecError, nearest, one_of
from cnntrain.knobs import show

# The keys that say how a sweep runs; no job's spec knows of them.
OF_A_SWEEP = re.compile(r"(sweep|hydra\.(sweep|sweeper|launcher)|hydra/(sweeper|launcher))(\..*)?")


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
    folder = user_folder(config_dir)
    parsed = [parse(text) for text in overrides]
    for override in parsed:
        check(override, config_dir)
    search = [] if folder is None else [f"hydra.searchpath=['file://{folder.absolute()}']"]
    try:
        whole = hydra(search + list(overrides))
        ours = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        plain = OmegaConf.to_container(ours, resolve=True)
        assert isinstance(plain, dict)
        own = {key: used(whole.hydra[key]) for key in ("sweeper", "launcher")}
        own |= {key: {"dir": whole.hydra[key].dir} for key in ("run", "sweep")}
    except (HydraException, OmegaConfBaseException) as error:
        raise retold(error, parsed, search) from None
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


def hydra(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for group in ("launcher", "sweeper"):  # plugins' own, as which Hydra would read ours
            ConfigStore.instance().repo["hydra"].get(group, {}).clear()
        whole = hydra_compose("config", overrides=overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    return whole


def parse(text: str) -> Override:
    """Parse one override, or say what an override looks like."""
    key = text.partition("=")[0]
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        override = None
    if override is None or not override.key_or_group:
        raise SpecError(
            f"{text!r} cannot be read",
            "key=value, with a value as YAML writes it",
            "quotes, if the value has commas, brackets, spaces or letters like é: "
            f"'{key.strip()}=\"…\"'"
            if "=" in text
            else "quotes, if it belongs to the value before it: 'dataset.folder=\"my photos\"'",
        )
    return override


def quoted(text: str) -> str:
    """A text as a value of an override, whatever characters it has."""
    inside = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"


def check(override: Override, config_dir: str | None) -> None:
    """Refuse an override that names several values, no option of a group, or a bare name."""
    key, text = override.key_or_group, override.input_line or ""
    if override.is_sweep_override():
        if key in LISTS:
            whole = f"'{key}=[{text.partition('=')[2]}]'"
            raise SpecError(f"{text} has no brackets", "one list, in quotes", whole)
        raise SpecError(
            f"{text} names several values",
            "one value, or -m to sweep over them",
            f"cnntrain -m {text}",
        )
    group = key.removesuffix(".name")
    if group not in CHOICES:
        return
    known, value = options(group, config_dir), str(override.get_value_element_as_str())
    if override.is_delete():
        raise SpecError(f"{group} is taken out", f"an option of it: {one_of(known)}")
    close = nearest(Path(value).stem, known)
    hint = f"{group}={close}" if close else None
    if key != group:
        raise SpecError(f"{text} would keep another's knobs", f"an option: {one_of(known)}", hint)
    if override.is_add():
        raise SpecError(f"{text} adds a second option to the group", "one option", hint)
    if value not in known:
        raise SpecError(f"{group} is {value or show(value)}", known, hint)
    load(known[value])


def retold(error: Exception, overrides: list[Override], search: list[str]) -> SpecError:
    """A refusal by Hydra or OmegaConf, in our words."""
    if isinstance(error, OmegaConfBaseException):
        where = f"{error.full_key}: " if error.full_key else ""
        return SpecError(
            where + first_line(error), "settings, or oc.env variables, that exist", None
        )
    chosen = [
        override.input_line or ""
        for override in overrides
        if override.key_or_group in CHOICES or override.key_or_group.startswith("hydra/")
    ]
    keys = leaves(OmegaConf.to_container(hydra(search + chosen)))
    for override in overrides:
        key = override.key_or_group
        if key not in keys and key not in CHOICES and not key.startswith("hydra/"):
            return unknown_key(override, keys)
        if first_line(error) == f"Could not override '{key}'":  # of a list that was given anew
            text = override.input_line
            return SpecError(f"{text}: it is not given yet", "+ before the setting", f"+{text}")
    if isinstance(error.__cause__, ConfigTypeError):
        kind = "a list" if error.__cause__.object_type is list else "settings, each by its name"
        return SpecError(first_line(error).removeprefix("Error merging override "), kind)
    return SpecError(first_line(error), "options and settings that fit together")


def unknown_key(override: Override, keys: list[str]) -> SpecError:
    """Say which keys there are beside the one that is not."""
    key = override.key_or_group
    parent, _, last = key.rpartition(".")
    beside = [k for k in keys if k.rpartition(".")[0] == parent and not k.endswith(".name")]
    beside = [k for k in beside if k != "hydra"]
    close = nearest(last, [k.rpartition(".")[2] for k in beside if k not in CHOICES])
    hint = None
    if not override.is_delete() and "/" not in key:
        value = override.get_value_element_as_str()
        if close:
            hint = f"{parent}.{close}={value}".lstrip(".")
        elif not parent:
            hint = group_hint(key, value) or next(
                (f"{k}={value}" for k in keys if k.endswith(f".{key}") and "hydra." not in k), None
            )
        elif option := next((o for o, f in options_of(parent) if last in load(f)), None):
            hint = f"{group_of(parent)}={option} {key}={value}"
    return SpecError(
        f"{key} is not a setting",
        one_of(beside) if beside else "a setting or a group: see cnntrain --help",
        hint,
    )


def group_hint(word: str, option: str) -> str | None:
    """`model=vgg16` for `modle=vgg16`: a group is only suggested for one of its options."""
    group = nearest(word, CHOICES)
    return f"{group}={option}" if group and option in options(group) else None


def options_of(group: str) -> list[tuple[str, Path]]:
    known = group in CHOICES or group in ("hydra.sweeper", "hydra.launcher")
    return list(options(group_of(group)).items()) if known else []


def group_of(key: str) -> str:
    """The group whose option a key belongs to, as the command line has it."""
    return key.replace("hydra.", "hydra/")


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
