"""From a composed configuration, a plain mapping, to a checked spec."""

from collections.abc import Mapping
from typing import Any

from cnntrain.errors import SpecError, nearest, one_of
from cnntrain.spec.contradictions import CONTRADICTIONS
from cnntrain.spec.knobs import convert, describe, show
from cnntrain.spec.signatures import GROUPS, component
from cnntrain.spec.spec import RECORDS, SETTINGS, Spec

# Groups that came later, as they are in a spec.yaml from before.
LATER: dict[str, Any] = {"distribution": {"name": "single"}, "tracking": {"name": "none"}}
# Knobs that came later, as a run from before had them.
LATER_KNOBS: dict[str, Any] = {"dataset": {"value_range": None}}


def spec(config: Mapping[str, Any]) -> Spec:
    """Return the spec of a composed configuration, a plain mapping; or raise SpecError."""
    config = LATER | dict(config)
    check_keys(config)
    config |= {group: {**knobs, **config[group]} for group, knobs in LATER_KNOBS.items()}
    settings: dict[str, Any] = {
        key: convert(config[key], kind, key) for key, kind in SETTINGS.items()
    }
    for key, record in RECORDS.items():
        settings[key] = record(**settings[key])
    groups: dict[str, Any] = {group: component(group, config[group]) for group in GROUPS}
    checked = Spec(**settings, **groups, config=config)
    for contradiction in CONTRADICTIONS:
        contradiction(checked)
    return checked


def check_keys(config: Mapping[str, Any]) -> None:
    """Refuse settings that do not exist, are missing, or are no group where one belongs."""
    known = [*GROUPS, *SETTINGS]
    for key, value in config.items():
        if key not in known:
            close = nearest(key, SETTINGS)
            hint = f"{close}={show(value)}" if close else None
            raise SpecError(f"{key} is not a setting", one_of(known, key), hint)
    for key, kind in SETTINGS.items():
        if key not in config:
            raise SpecError(f"{key} is missing", describe(kind))
    for group in GROUPS:
        if not isinstance(config.get(group), Mapping):
            raise SpecError(
                f"{group} is {show(config.get(group))}",
                f"an option of the group {group}",
                f"cnntrain list {group}",
            )
