"""From overrides to a plain configuration: the only use of Hydra's Compose API.

Hydra's own refusals are told again in our words: given, expected, try.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnntrain.catalogue import CONF, options
from cnntrain.components import GROUPS
from cnntrain.errors import SpecError, nearest, one_of

# A directory name for an override: initializer=zeros,model=vgg16
OmegaConf.register_new_resolver(
    "slug", lambda text: re.sub(r"[^\w=.,+-]+", "-", text)[:100], replace=True
)


@dataclass(frozen=True)
class Composed:
    """A configuration, and where Hydra would put what comes of it."""

    config: dict[str, Any]
    run_dir: Path
    sweep_dir: Path


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Composed:
    """Compose `conf/` with command line overrides; options in `config_dir` count as ours."""
    search = search_path(config_dir)
    parsed = [parse(override) for override in overrides]
    try:
        whole = hydra(search + list(overrides))
        hydra_node = whole.hydra
        config = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
        return Composed(
            {str(key): value for key, value in plain.items()},
            Path(hydra_node.run.dir),
            Path(hydra_node.sweep.dir),
        )
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise retold(error, parsed, search, config_dir) from None


def jobs(overrides: Sequence[str], config_dir: str | None = None) -> list[list[str]]:
    """The overrides of each job of a sweep, in the order in which Hydra will run them."""
    places = create_config_search_path(str(CONF))
    if config_dir is not None:
        places.append("--config-dir", f"file://{Path(config_dir).absolute()}")
    parser = OverridesParser.create(config_loader=ConfigLoaderImpl(places))
    parsed = [parse(override) for override in overrides]
    try:
        parsed = parser.parse_overrides(list(overrides))
        return BasicSweeper.split_arguments(parsed, None)[0]
    except HydraException as error:
        raise SpecError(first_line(error), "seed=1,2,3 or initializer=glob(*)") from None


def swept(overrides: Sequence[str]) -> list[str]:
    """The keys of the overrides that take more than one value."""
    parsed = [parse(override) for override in overrides]
    return [override.get_key_element() for override in parsed if override.is_sweep_override()]


def hydra(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = hydra_compose("config", overrides=overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    return whole


def search_path(config_dir: str | None) -> list[str]:
    if config_dir is None:
        return []
    folder = Path(config_dir).absolute()
    if not folder.is_dir():
        raise SpecError(
            f"--config-dir is {config_dir}", "a folder with folders such as model/ and dataset/"
        )
    return [f"hydra.searchpath=['file://{folder}']"]


def parse(override: str) -> Override:
    """Parse one override, or say what an override looks like."""
    if "=" not in override and not override.startswith("~"):
        raise SpecError(f"{override!r} is neither a command nor an override", "key=value", None)
    try:
        return OverridesParser.create().parse_override(override)
    except OverrideParseException:
        raise SpecError(
            f"{override!r} cannot be read",
            "key=value, with a value as YAML writes it",
            f"quotes, if the value has commas or spaces: '{override.split('=')[0]}=\"…\"'",
        ) from None


def retold(
    error: Exception, overrides: list[Override], search: list[str], config_dir: str | None
) -> SpecError:
    """A refusal by Hydra or OmegaConf, in our words."""
    groups = list(GROUPS)
    chosen = []
    for override in overrides:
        key, value = override.key_or_group, override.value()
        if override.is_sweep_override():
            return SpecError(
                f"{override.input_line} names several values",
                "one value, or -m to sweep over them",
                f"cnntrain -m {override.input_line}",
            )
        if key in groups:
            known = options(key, config_dir)
            if value not in known:
                close = nearest(value, known)
                return SpecError(f"{key} is {value}", known, f"{key}={close}" if close else None)
            chosen.append(f"{key}={value}")
    try:
        keys = leaves(OmegaConf.to_container(hydra(search + chosen)))
    except (HydraException, OmegaConfBaseException, yaml.YAMLError):
        return SpecError(first_line(error), "options and settings that fit together")
    ours = [key for key in keys if key.partition(".")[0] != "hydra"]
    for override in overrides:
        key = override.key_or_group
        if key not in keys and key not in groups and not key.startswith("hydra."):
            return unknown_key(key, str(override.get_value_element_as_str()), ours)
    return SpecError(first_line(error), "options and settings that fit together")


def unknown_key(key: str, value: str, known: list[str]) -> SpecError:
    """Say which keys there are beside the one that is not."""
    parent = key.rpartition(".")[0]
    siblings = [k for k in known if k.rpartition(".")[0] == parent]
    close = nearest(key, siblings) or nearest(key, known)
    return SpecError(
        f"{key} is not a setting",
        one_of(siblings) if siblings else "a setting or a group: see cnntrain --help",
        f"{close}={value}" if close else None,
    )


def leaves(node: Any, prefix: str = "") -> list[str]:
    """The keys of a nested mapping, dotted, its inner nodes included."""
    if not isinstance(node, dict):
        return []
    keys = []
    for key, value in node.items():
        keys += [f"{prefix}{key}", *leaves(value, f"{prefix}{key}.")]
    return keys


def first_line(error: Exception) -> str:
    text = str(error) or str(error.__cause__) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")
