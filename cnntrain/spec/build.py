"""Build a checked spec from a composed configuration, which is a plain mapping."""

from collections.abc import Mapping
from typing import Any

from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.spec.contradictions import CONTRADICTIONS
from cnntrain.spec.knobs import convert_value, describe_annotation, format_value
from cnntrain.spec.renames import add_knobs
from cnntrain.spec.signatures import GROUPS, build_component
from cnntrain.spec.spec import RECORDS, SETTINGS, Spec

# Groups that the spec.yaml of an older version lacks, with the option that it trained with.
LATER_GROUPS: dict[str, Any] = {"distribution": {"name": "single"}, "tracking": {"name": "none"}}
# Knobs that the spec.yaml of an older version lacks, with the value that it trained with.
LATER_KNOBS: dict[str, Any] = {"dataset": {"value_range": None}}


def build_spec(config: Mapping[str, Any]) -> Spec:
    """Return the checked spec of a composed configuration.

    Raises SpecError for a wrong setting, and for settings that contradict each other.
    """
    config = LATER_GROUPS | add_knobs(config)
    check_spec_keys(config)
    config |= {group: {**knobs, **config[group]} for group, knobs in LATER_KNOBS.items()}
    settings: dict[str, Any] = {
        key: convert_value(config[key], kind, key) for key, kind in SETTINGS.items()
    }
    for key, record in RECORDS.items():
        settings[key] = record(**settings[key])
    groups: dict[str, Any] = {group: build_component(group, config[group]) for group in GROUPS}
    spec = Spec(**settings, **groups, config=config)
    for check_contradiction in CONTRADICTIONS:
        check_contradiction(spec)
    return spec


def check_spec_keys(config: Mapping[str, Any]) -> None:
    """Raise SpecError if a setting does not exist or is missing, or a group is no mapping."""
    names = [*GROUPS, *SETTINGS]
    for key, value in config.items():
        if key not in names:
            nearest = find_nearest(key, SETTINGS)
            hint = f"{nearest}={format_value(value)}" if nearest else None
            raise SpecError(f"{key} is not a setting", format_choices(names, key), hint)
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
