"""Nested mappings by dotted keys.

`OmegaConf.update` is not used to set one: it wants a DictConfig, makes parents that are not there
where we refuse the key, and reads a text such as `${x}` for more than a text.
"""

from collections.abc import Mapping
from typing import Any

from cnntrain.errors import SpecError, format_choices


def flatten_mapping(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys."""
    flattened: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flattened |= (
            flatten_mapping(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
        )
    return flattened


def set_dotted_value(config: Mapping[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in a nested mapping."""
    *path, last = key.split(".")
    node: Any = config
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    if not isinstance(node, dict):
        raise SpecError(f"{key} is not a setting", format_choices(config, path[0] if path else ""))
    node[last] = value
