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
# Settings that may be `auto`, with what to set where several devices share each batch.
AUTO_SETTINGS = {"batch_size": "batch_size=128", "precision": "precision=float32"}
# The settings that are looked up before a run begins, if they are `auto`.
MAY_BE_AUTO = (*AUTO_SETTINGS, "monitor")


def build_spec(config: Mapping[str, Any]) -> Spec:
    """Return the checked spec of a composed configuration.

    Raises SpecError for a wrong setting, and for settings that contradict each other.
    """
    config = LATER_GROUPS | add_knobs(config)
    check_spec_keys(config)
    config |= {group: {**knobs, **config[group]} for group, knobs in LATER_KNOBS.items()}
    settings: dict[str, Any] = {key: convert_setting(key, config[key]) for key in SETTINGS}
    for key, record in RECORDS.items():
        settings[key] = record(**settings[key])
    groups: dict[str, Any] = {group: build_component(group, config[group]) for group in GROUPS}
    spec = Spec(**settings, **groups, config=config)
    for check_contradiction in CONTRADICTIONS:
        check_contradiction(spec)
    return spec


def list_open_settings(config: Mapping[str, Any]) -> list[str]:
    """Return the settings that only a look at the device replaces: `auto`, and a time budget."""
    autos = [setting for setting in AUTO_SETTINGS if config.get(setting) == "auto"]
    return autos if config.get("minutes") is None else [*autos, "minutes"]


def build_provisional_spec(config: Mapping[str, Any]) -> Spec:
    """Return the spec of a configuration that may have an `auto` or `minutes`, to find mistakes.

    Until `resolve_auto_settings` has looked at the device, the batch size is the number of
    micro-batches, the precision is float32, and the epochs are those of the configuration.
    """
    asked = list_open_settings(config)
    if asked and (chosen := config["distribution"]["name"]) != "single":
        value = "auto" if asked[0] in AUTO_SETTINGS else format_value(config["minutes"])
        raise SpecError(
            f"{asked[0]} is {value}, which knows one device, and distribution is {chosen}",
            f"distribution=single, or another {asked[0]}",
            AUTO_SETTINGS.get(asked[0], "minutes=null epochs=20"),
        )
    if "minutes" in asked:
        convert_setting("minutes", config["minutes"])
        if config.get("max_steps") is not None:
            raise SpecError(
                f"minutes is {format_value(config['minutes'])} and max_steps is "
                f"{format_value(config['max_steps'])}",
                "one end of the run",
                "max_steps=null",
            )
    micro_batches = config.get("accumulate")
    stand_ins = {
        "batch_size": micro_batches if isinstance(micro_batches, int) and micro_batches > 0 else 1,
        "precision": "float32",
        "minutes": None,
    }
    if "minutes" in asked:
        head_epochs = config["finetune"].get("head_epochs", 0)
        epochs = [n for n in (config.get("epochs"), head_epochs) if isinstance(n, int)]
        config = {**config, "epochs": sum(epochs) or 1}
    return build_spec({**config, **{setting: stand_ins[setting] for setting in asked}})


def convert_setting(key: str, value: Any) -> Any:
    """Return the value of a setting of the run; SpecError, which names `auto` where it may be."""
    try:
        return convert_value(value, SETTINGS[key], key)
    except SpecError as error:
        if key not in AUTO_SETTINGS:
            raise
        raise SpecError(error.given, f"{error.expected}, or auto", error.hint) from None


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
