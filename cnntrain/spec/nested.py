"""Nested mappings by dotted keys.

`OmegaConf.update` is not used to set a value: it needs a DictConfig, creates missing parents where
we raise SpecError, and interpolates a text such as `${x}`.
"""

from collections.abc import Mapping
from typing import Any

from cnntrain.errors import SpecError, format_choices


def flatten_mapping(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as a flat one with dotted keys."""
    flattened: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flattened |= (
            flatten_mapping(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
        )
    return flattened


def set_dotted_value(config: Mapping[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in a nested mapping; raise SpecError if a parent of it is no mapping."""
    *path, last = key.split(".")
    node: Any = config
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    if not isinstance(node, dict):
        raise SpecError(f"{key} is not a setting", format_choices(config, path[0] if path else ""))
    node[last] = value
