"""Settings that had another name: command lines, files and runs from before may still use it.

A setting that is renamed gets a line in `RENAMED`, and nothing else in the package knows its old
name.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import format_value

# The name before, and the name now. Where nobody sets them, both are null or false.
RENAMED = {"model.init_from": "init_from", "schedule.stretch": "replan"}
OVERRIDE_KEY = re.compile(r"([+~]*)([^=\s]+)")


def rename_key(key: str) -> str:
    """The name that a setting has now."""
    return RENAMED.get(key, key)


def rename_keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, as a checkpoint or run.json has them, with the names of now."""
    return {rename_key(key): value for key, value in settings.items()}


def rename_overrides(overrides: Sequence[str]) -> list[str]:
    """Overrides with the names of now; SpecError where both names are given, and differ."""
    renamed = [OVERRIDE_KEY.sub(lambda m: m[1] + rename_key(m[2]), w, 1) for w in overrides]
    for old, new in zip(overrides, renamed, strict=True):
        same_key = [word for word in overrides if word.partition("=")[0] == new.partition("=")[0]]
        if old != new and (others := [word for word in same_key if word != new]):
            raise SpecError(f"{old} and {others[0]} are both given", "one of them", others[0])
    return renamed


def rename_settings(config: Mapping[str, Any], overridden: Collection[str] = ()) -> dict[str, Any]:
    """Return a configuration with the names of now; an override beats what a file says.

    `overridden` are the keys of the command line. Raises SpecError where files give both names, and
    they differ.
    """
    result = dict(config)
    for before, now in RENAMED.items():
        group, _, knob = before.partition(".")
        if not isinstance(knobs := result.get(group), Mapping) or knob not in knobs:
            continue
        result[group] = {key: value for key, value in knobs.items() if key != knob}
        given, own = knobs[knob], result.get(now)
        if now in overridden or given in (None, False):
            result.setdefault(now, given)
        elif own in (None, False, given):
            result[now] = given
        else:
            raise SpecError(
                f"{before} is {format_value(given)} and {now} is {format_value(own)}",
                f"one of them: {now} is what {before} is called now",
            )
    return result
