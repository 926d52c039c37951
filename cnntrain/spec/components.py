"""Fill in what a component inside another one leaves out: an operation, a phase's schedule."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cnntrain.spec.hydra_config import load_hydra_config
from cnntrain.spec.hydra_private import borrow_hydra
from cnntrain.spec.option_files import find_option_files, load_option
from cnntrain.spec.overrides import quote_literal


def fill_in_knobs(value: Any, files: Mapping[str, Path]) -> Any:
    """Return a list of components, such as `augmentation.ops`, with the knobs that they leave out.

    The values come from the file of the option that a component names; `files` has the file of each
    option. Any other value is returned as it is.
    """
    if not isinstance(value, list):
        return value
    components = []
    for component in value:
        if isinstance(component, dict) and (name := str(component.get("name"))) in files:
            stated = {
                key: fill_in_knobs(knob, files) for key, knob in component.items() if key != "name"
            }
            components.append(load_option(files[name]) | stated)
        else:
            components.append(component)
    return components


def fill_in_component(value: Any, group: str, config_dir: str | None) -> Any:
    """Return a component such as `finetune.schedule` with the knobs that it leaves out.

    The values are those of the option that it names. The name of an option alone stands for the
    option. Any other value is returned as it is.
    """
    stated = {"name": value} if isinstance(value, str) else value
    files = find_option_files(group, config_dir)
    if not isinstance(stated, dict) or (name := str(stated.get("name"))) not in files:
        return stated
    with borrow_hydra():
        chosen = load_hydra_config([f"{group}={quote_literal(name)}"], config_dir)[group]
    own = {key: knob for key, knob in stated.items() if key != "name"}
    option = OmegaConf.to_container(chosen, resolve=True)
    assert isinstance(option, dict)
    option.pop("about", None)
    records = {
        key: option[key] | knob
        for key, knob in own.items()
        if isinstance(knob, dict) and isinstance(option.get(key), dict)
    }
    return option | own | records
