"""Settings that were renamed or added: old command lines, files and runs know the old ones.

A setting that is renamed gets a line in `RENAMED`, and nothing else in the package knows its old
name. A setting that is added gets a line in `ADDED`, a knob of a group's options one in
`ADDED_KNOBS`: the spec.yaml of an older version lacks it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import format_value

# Old name -> new name. A setting that nobody sets is null or false under both.
RENAMED = {"model.init_from": "init_from", "schedule.stretch": "replan"}
# New setting -> what older versions did. With that value it changes no hash and no checkpoint.
ADDED = {
    "xla": "auto", "pipeline": "auto", "steps_per_block": "auto", "image_sizes": None,
    "test_views": "none", "fused_norm": False, "decoders": "auto", "minutes": None,
}  # fmt: skip
# Group, or the component of a group -> knobs that it had not -> what older versions did.
ADDED_KNOBS: dict[str, dict[str, Any]] = {
    "augmentation.flip_crop": {"alternate": False, "border": "black"},
    "dataset": {
        "cut": "stratified",
        "scan": "auto",
        "folds": None,
        "fold": None,
        "groups": None,
        "sampling": "shuffled",
    },
    "dataset.tfds": {"slices": {"train": None, "valid": None, "test": None}},
    "finetune.two_phase": {"schedule": None},
    "initializer": {"head": "same"},
    "model.alexnet": {"norm_position": "before", "dropout_position": "after"},
    "model.application": {"interpolation": "bilinear"},
    "model.cnn": {"pool": 2, "activation": "relu", "norm_position": "before"},
    "model.cnn_depth": {"kernel_size": 3, "dense": []},
    "model.cnn_idea": {"norm_position": "before"},
    "model.mlp": {"norm_position": "after"},
    "model.vgg": {"norm_position": "before"},
    "optimizer": {"bias_rate": 1},
}
# The same, where the network changed too: older runs open, but hash and checkpoint are others.
CHANGED_KNOBS: dict[str, dict[str, Any]] = {"model.inception_tutorial": {"module": "reduced"}}
OVERRIDE_KEY = re.compile(r"([+~]*)([^=\s]+)")


def rename_key(key: str) -> str:
    """Return the new name of a setting, or `key` if it was not renamed."""
    return RENAMED.get(key, key)


def rename_keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted key, as in a checkpoint or run.json, under their new names."""
    return {rename_key(key): value for key, value in settings.items()}


def get_added_knobs(group: str, component: Any) -> dict[str, Any]:
    """Return the knobs that were added to a component of a group, with what older versions did."""
    return ADDED_KNOBS.get(group, {}) | ADDED_KNOBS.get(f"{group}.{component}", {})


def get_later_knobs(group: str, component: Any) -> dict[str, Any]:
    """Return the knobs that a component of a group has now and older versions lacked."""
    changed = CHANGED_KNOBS.get(f"{group}.{component}", {})
    return get_added_knobs(group, component) | changed


def add_knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the values of knobs that older versions lacked."""
    return {
        key: add_component_knobs(key, value) if isinstance(value, Mapping) else value
        for key, value in config.items()
    }


def add_component_knobs(group: str, component: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component, and the operations that it lists, with knobs that they lacked before."""
    known = change_operations(component, lambda operation: add_component_knobs(group, operation))
    return get_later_knobs(group, component.get("name")) | known


def drop_operation_knobs(group: str, component: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component whose operations lack added knobs that mean what older versions did."""

    def drop_knobs(operation: Mapping[str, Any]) -> dict[str, Any]:
        added = get_added_knobs(group, operation["name"])
        known = drop_operation_knobs(group, operation)
        return {k: v for k, v in known.items() if not (k in added and v == added[k])}

    return change_operations(component, drop_knobs)


def change_operations(
    component: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Return a component with the operations that it lists, such as those of `compose`, changed."""

    def change_knob(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [change(v) if isinstance(v, Mapping) and "name" in v else v for v in value]

    return {knob: change_knob(value) for knob, value in component.items()}


def rename_overrides(overrides: Sequence[str]) -> list[str]:
    """Return overrides with new names; raise SpecError if old and new are set and differ."""
    renamed = [OVERRIDE_KEY.sub(lambda m: m[1] + rename_key(m[2]), w, 1) for w in overrides]
    for old, new in zip(overrides, renamed, strict=True):
        same_key = [word for word in overrides if word.partition("=")[0] == new.partition("=")[0]]
        if old != new and (others := [word for word in same_key if word != new]):
            raise SpecError(f"{old} and {others[0]} are both given", "one of them", others[0])
    return renamed


def rename_settings(config: Mapping[str, Any], overridden: Collection[str] = ()) -> dict[str, Any]:
    """Return a configuration under the new names; an override beats the value in a file.

    `overridden` holds the keys of the command line. Raises SpecError if files set both names to
    different values.
    """
    result = dict(config)
    for old_name, new_name in RENAMED.items():
        group, _, knob = old_name.partition(".")
        if not isinstance(knobs := result.get(group), Mapping) or knob not in knobs:
            continue
        result[group] = {key: value for key, value in knobs.items() if key != knob}
        old_value, new_value = knobs[knob], result.get(new_name)
        if new_name in overridden or old_value in (None, False):
            result.setdefault(new_name, old_value)
        elif new_value in (None, False, old_value):
            result[new_name] = old_value
        else:
            raise SpecError(
                f"{old_name} is {format_value(old_value)} and "
                f"{new_name} is {format_value(new_value)}",
                f"one of them: {new_name} is what {old_name} is called now",
            )
    return result
