"""From a composed configuration, a plain mapping, to a checked spec."""

from collections.abc import Mapping
from typing import Any

from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.spec.contradictions import CONTRADICTIONS
from cnntrain.spec.knobs import convert_value, describe_annotation, format_value
from cnntrain.spec.signatures import GROUPS, build_component
from cnntrain.spec.spec import RECORDS, SETTINGS, Spec

# Groups that came later, as they are in a spec.yaml from before.
LATER_GROUPS: dict[str, Any] = {"distribution": {"name": "single"}, "tracking": {"name": "none"}}
# Knobs that came later, as a run from before had them.
LATER_KNOBS: dict[str, Any] = {"dataset": {"value_range": None}}


def build_spec(config: Mapping[str, Any]) -> Spec:
    """Return the spec of a composed configuration, a plain mapping; or raise SpecError."""
    config = LATER_GROUPS | dict(config)
    check_spec_keys(config)
    config |= {group: {**knobs, **config[group]} for group, knobs in LATER_KNOBS.items()}
    settings: dict[str, Any] = {
        key: convert_value(config[key], kind, key) for key, kind in SETTINGS.items()
    }
    for key, record in RECORDS.items():
        settings[key] = record(**settings[key])
    groups: dict[str, Any] = {group: build_component(group, config[group]) for group in GROUPS}
    checked = Spec(**settings, **groups, config=config)
    for contradiction in CONTRADICTIONS:
        contradiction(checked)
    return checked


def check_spec_keys(config: Mapping[str, Any]) -> None:
    """Refuse settings that do not exist, are missing, or are no group where one belongs."""
    known = [*GROUPS, *SETTINGS]
    for key, value in config.items():
        if key not in known:
            close = find_nearest(key, SETTINGS)
            hint = f"{close}={format_value(value)}" if close else None
            raise SpecError(f"{key} is not a setting", format_choices(known, key), hint)
    for key, kind in SETTINGS.items():
        if key not in config:
            raise SpecError(f"{key} is missing", describe_annotation(kind))
    for group in GROUPS:
        if not isinstance(config.get(group), Mapping):
            raise SpecError(
                f"{group} is {format_value(config.get(group))}",
                f"an option of the group {group}",
                f"cnntrain list {group}",
            )
