"""Load Hydra's configuration of `conf/`, and say in a SpecError what Hydra found wrong with it."""

import shlex
from collections.abc import Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.spec.hints import choose_option_with_knob, suggest_known_knob, suggest_override
from cnntrain.spec.hydra_private import start_hydra
from cnntrain.spec.option_files import CHOICES, CONF, find_config_folder
from cnntrain.spec.overrides import TEXT_SETTINGS, ParsedOverride

HYDRA_GROUPS = ("hydra/sweeper", "hydra/launcher")


def load_hydra_config(overrides: list[str], config_dir: str | None) -> DictConfig:
    """Return Hydra's whole configuration, its own settings included."""
    start_hydra(CONF, find_config_folder(config_dir))
    whole = hydra_compose("config", overrides=overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    return whole


def explain_hydra_error(
    error: Exception, overrides: Sequence[ParsedOverride], config_dir: str | None
) -> SpecError:
    """Return the SpecError that explains an error of Hydra or OmegaConf."""
    if isinstance(error, OmegaConfBaseException):
        where = f"{error.full_key}: " if error.full_key else ""
        return SpecError(
            where + shorten_error(error), "settings, or oc.env variables, that exist", None
        )
    choices = [
        override.input_line or override.text
        for override in overrides
        if override.key_or_group in CHOICES or override.key_or_group.startswith("hydra/")
    ]
    all_keys = list_dotted_keys(OmegaConf.to_container(load_hydra_config(choices, config_dir)))
    keys = [key for key in all_keys if not {"about", "expect"} & {*key.split(".")[:2]}]
    for override in overrides:
        key = override.key_or_group
        if key not in keys and key not in CHOICES and not key.startswith("hydra/"):
            return explain_unknown_key(override, keys)
        if shorten_error(error) == f"Could not override '{key}'":
            text = override.text  # of an item of a list that another override replaces
            return SpecError(f"{text}: it is not given yet", "+ before the setting", f"+{text}")
        if key in TEXT_SETTINGS and key in shorten_error(error):
            return SpecError(f"{override.text} names nothing", "a path or a name")
    if isinstance(error.__cause__, ConfigTypeError):
        kind = "a list" if error.__cause__.object_type is list else "settings, each by its name"
        return SpecError(shorten_error(error).removeprefix("Error merging override "), kind)
    return SpecError(shorten_error(error), "options and settings that fit together")


def explain_unknown_key(override: ParsedOverride, keys: list[str]) -> SpecError:
    """Return the SpecError for a key that does not exist, with the keys that stand beside it."""
    key, hint = override.key_or_group, None
    parent, _, last = key.rpartition(".")
    beside = [k for k in keys if k.rpartition(".")[0] == parent and not k.endswith(".name")]
    beside = [k for k in beside if k != "hydra"]
    if not override.is_delete() and "/" not in key:
        value, group = override.text.partition("=")[2], parent.replace("hydra.", "hydra/")
        if not parent:
            hint = suggest_override(key, value, keys)
        elif group in (*CHOICES, *HYDRA_GROUPS):  # a knob of this very name, of another option
            hint = choose_option_with_knob(group, last, value)
            hint = hint or suggest_known_knob(key, value, keys)
        if hint is None and parent:
            nearest = find_nearest(last, [k.rpartition(".")[2] for k in beside if k not in CHOICES])
            hint = shlex.quote(f"{parent}.{nearest}={value}") if nearest else None
    expected = format_choices(beside, last) if beside else "a setting or a group …"
    more = ": cnntrain --help" if "…" in expected else ""
    return SpecError(f"{key} is not a setting", f"{expected}{more}", hint)


def list_dotted_keys(node: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys of a nested mapping, inner nodes included; list items have numbers."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return []
    keys = []
    for key, value in node.items():
        keys += [f"{prefix}{key}", *list_dotted_keys(value, f"{prefix}{key}.")]
    return keys


def shorten_error(error: BaseException) -> str:
    text = str(error) or str(error.__cause__) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")
