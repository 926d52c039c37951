"""The definitions of a group in a JSON schema: its components, its options, their knobs.

| definition | |
|---|---|
| `optimizer.l2` | a knob that all options of the group have, with its default and its comment |
| `optimizer.component` | a component as `spec.yaml` holds it, whole |
| `optimizer=sgd` | what a recipe may set of this option, with the option's own defaults |
| `optimizer.option` | the name of an option |
| `augmentation.stated` | a component within another one, as a recipe states it |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cnntrain.files import documents
from cnntrain.files.yaml_comments import read_comments
from cnntrain.spec.option_files import CONF, find_option_files, read_summary
from cnntrain.spec.renames import RENAMED
from cnntrain.spec.schema.annotations import build_annotation_schema, build_object_schema
from cnntrain.spec.signatures import list_components, read_component_knobs, read_shared_knobs

Schema = dict[str, Any]
HIDDEN = {"doNotSuggest": True}  # editors admit the key, and do not offer it


@dataclass(frozen=True)
class Commented:
    """The values of a YAML file, with the comment behind each key."""

    values: Mapping[str, Any]
    comments: Mapping[str, str]

    def describe(self, key: str, schema: Schema, comment: str = "") -> Schema:
        """Return the schema of a key with its default and its description, where it has them."""
        comment = self.comments.get(key, comment)
        described = schema | ({"description": comment} if comment else {})
        if key not in self.values:
            return described
        value = self.values[key]
        if isinstance(value, Mapping) and "properties" in schema:
            inner = self.select(key)
            fields = {
                name: inner.describe(name, part) for name, part in schema["properties"].items()
            }
            return described | {"properties": fields}
        return described | {"default": value}

    def select(self, key: str) -> "Commented":
        """Return the mapping below a key; it is empty if the key is not there."""
        start, texts = f"{key}.", self.comments.items()
        below = {name.removeprefix(start): text for name, text in texts if name.startswith(start)}
        return Commented(self.values.get(key, {}), below)


def read_commented_config() -> Commented:
    """Return the values of `conf/config.yaml` with their comments."""
    return read_commented_file(CONF / "config.yaml")


def read_commented_file(file: Path) -> Commented:
    """Return the values of a file with their comments; OmegaConf reads `1e-4` as a number."""
    text = documents.read_text(file, documents.SMALL_BYTES)
    values = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(values, dict)
    return Commented({str(key): value for key, value in values.items()}, read_comments(text))


def define_group(group: str, config: Commented, config_dir: str | None) -> dict[str, Schema]:
    """Return the definitions of a group by name; `config` is that of `read_commented_config`."""
    files = find_option_files(group, config_dir)
    shared = config.select(group)
    stated = {
        knob: shared.describe(knob, build_annotation_schema(kind, whole=False))
        for knob, kind in read_shared_knobs(group).items()
    }
    return {
        **{f"{group}.{knob}": schema for knob, schema in stated.items()},
        **{f"{group}={option}": define_option(group, file) for option, file in files.items()},
        f"{group}.component": define_components(group),
        f"{group}.option": list_option_names(files),
        f"{group}.stated": define_stated_component(group, files),
    }


def define_option(group: str, file: Path) -> Schema:
    """Return the schema of what a recipe may set of an option."""
    option = read_commented_file(file)
    return build_object_schema(
        {
            "name": {"type": "string", **HIDDEN},
            **describe_knobs(group, option.values.get("name"), option),
        }
    )


def describe_knobs(group: str, component: Any, option: Commented) -> dict[str, Schema]:
    """Return the schemas of the knobs of a component, its own first, as an option's file has them.

    A component that does not exist has those that all options of the group have.
    """
    own = read_component_knobs(group, component) if component in list_components(group) else {}
    schemas = {knob: build_annotation_schema(kind, whole=False) for knob, kind in own.items()}
    for knob in read_shared_knobs(group):
        schemas.setdefault(knob, {"$ref": f"#/$defs/{group}.{knob}"})
    described = {knob: option.describe(knob, schema) for knob, schema in schemas.items()}
    return described | describe_old_names(group)


def describe_old_names(group: str) -> dict[str, Schema]:
    """Return the schemas of knobs that have another name now, and are still understood."""
    return {
        old.partition(".")[2]: {"deprecated": True, "description": f"now {new}", **HIDDEN}
        for old, new in RENAMED.items()
        if old.partition(".")[0] == group
    }


def define_components(group: str) -> Schema:
    """Return the schema of a component with all its knobs, as `spec.yaml` holds it."""
    shared, variants = read_shared_knobs(group), {}
    for name in list_components(group):
        knobs = shared | read_component_knobs(group, name)
        schemas = {knob: build_annotation_schema(kind, whole=True) for knob, kind in knobs.items()}
        variants[name] = build_object_schema({"name": {"const": name}, **schemas}, ["name", *knobs])
    return choose_by_name(list(variants), variants)


def define_stated_component(group: str, files: Mapping[str, Path]) -> Schema:
    """Return the schema of a component within another one; what it leaves out is its option's."""
    return choose_by_name(
        list(files), {option: {"$ref": f"#/$defs/{group}={option}"} for option in files}
    )


def choose_by_name(names: list[str], schemas: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping whose `name` says which of several schemas it follows."""
    return {
        "type": "object",
        "properties": {"name": {"enum": names}},
        "required": ["name"],
        "allOf": [
            {
                "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
                "then": schema,
            }
            for name, schema in schemas.items()
        ],
    }


def list_option_names(files: Mapping[str, Path]) -> Schema:
    """Return the schema of the name of an option, with what each is."""
    return {"anyOf": [{"const": name, "description": read_summary(f)} for name, f in files.items()]}
