"""The configuration as a JSON schema (draft 2020-12): recipes, `spec.yaml`, options' files.

What depends on several settings, and what needs the images, is not in it: the command line says
that.
"""

import json
import re
from typing import Any

from cnntrain.spec.about import KINDS, About
from cnntrain.spec.about import RECORDS as ABOUT_RECORDS
from cnntrain.spec.build import MAY_BE_AUTO
from cnntrain.spec.expectation import OPTIONAL, OPTIONAL_MEASURED
from cnntrain.spec.expectation import RECORDS as EXPECTATION_RECORDS
from cnntrain.spec.option_files import find_option_files, read_default_options
from cnntrain.spec.renames import ADDED
from cnntrain.spec.schema.annotations import (
    build_annotation_schema,
    build_object_schema,
    build_record_schema,
    join_alternatives,
)
from cnntrain.spec.schema.options import (
    Commented,
    Schema,
    choose_by_name,
    define_group,
    describe_knobs,
    read_commented_config,
    read_commented_file,
)
from cnntrain.spec.signatures import (
    GROUPS,
    list_components,
    read_component_knobs,
    read_shared_knobs,
)
from cnntrain.spec.spec import RECORDS, SETTINGS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build_config_schema(config_dir: str | None = None) -> Schema:
    """Return the schema of a recipe, and of the `spec.yaml` of a run.

    A recipe states what differs from the options that its `defaults` choose. A `spec.yaml`, whose
    groups have a `name`, states everything.
    """
    config = read_commented_config()
    properties = {
        "defaults": describe_defaults(),
        **{key: describe_setting(key, config) for key in SETTINGS},
        **{group: describe_group(group) for group in GROUPS},
        "expect": describe_expectation(),
    }
    choices = [rule for group in GROUPS for rule in list_choices(group, config_dir)]
    return {
        "$schema": DIALECT,
        "title": "cnntrain: a recipe (experiment/NAME.yaml), or the spec.yaml of a run",
        **build_object_schema(properties),
        "allOf": [require_whole_spec(), *choices],
        "$defs": define_groups(config, config_dir),
    }


def build_option_schema(group: str, config_dir: str | None = None) -> Schema:
    """Return the schema of the file of an option, such as `conf/model/vgg16.yaml`.

    A file with `defaults` begins with the knobs of another option, and may leave out any.
    """
    config = read_commented_config()
    about = describe_about(group)
    files = find_option_files(group, config_dir).values()
    options = {o.values.get("name"): o for o in map(read_commented_file, files)}
    variants = {}
    for name in list_components(group):
        comments = options[name].comments if name in options else {}
        knobs = describe_knobs(group, name, Commented({}, comments))
        own = [k for k in read_component_knobs(group, name) if k not in read_shared_knobs(group)]
        facts = {"name": {"const": name}, "about": about, "defaults": {"type": "array"}}
        variants[name] = build_object_schema(facts | knobs) | {
            "anyOf": [{"required": ["defaults"]}, {"required": own}]
        }
    chosen = choose_by_name(variants)
    del chosen["required"]
    return {
        "$schema": DIALECT,
        "title": f"cnntrain: an option of the group {group} ({group}/NAME.yaml)",
        **chosen,
        "anyOf": [{"required": ["defaults"]}, {"required": ["name"]}],
        "$defs": select_definitions(chosen, config, config_dir),
    }


def define_groups(config: Commented, config_dir: str | None) -> dict[str, Schema]:
    """Return the definitions of all groups by name."""
    definitions: dict[str, Schema] = {}
    for group in GROUPS:
        definitions |= define_group(group, config, config_dir)
    return definitions


def select_definitions(
    schema: Schema, config: Commented, config_dir: str | None
) -> dict[str, Schema]:
    """Return the definitions that a schema refers to, and those that they refer to."""
    definitions, selected = define_groups(config, config_dir), set[str]()
    waiting = find_references(schema)
    while waiting:
        selected |= waiting
        waiting = {r for name in waiting for r in find_references(definitions[name])} - selected
    return {name: part for name, part in definitions.items() if name in selected}


def find_references(schema: Schema) -> set[str]:
    """Return the names of the definitions that a schema refers to."""
    return set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(schema)))


def describe_setting(key: str, config: Commented) -> Schema:
    """Return the schema of a setting of the run, with its default and its comment."""
    schema = build_annotation_schema(SETTINGS[key], whole=False)
    if key in MAY_BE_AUTO:
        schema = join_alternatives([schema, {"enum": ["auto"]}])
    return config.describe(key, schema)


def describe_group(group: str) -> Schema:
    """Return the schema of a group: whole if it has a `name`, else see `list_choices`."""
    return {
        "type": "object",
        "if": {"required": ["name"]},
        "then": {"$ref": f"#/$defs/{group}.component"},
    }


def describe_defaults() -> Schema:
    """Return the schema of the `defaults` of a recipe: the option that it chooses of each group."""
    chosen = {f"override /{group}": {"$ref": f"#/$defs/{group}.option"} for group in GROUPS}
    return {
        "description": "the option of each group; another recipe, by its name",
        "type": "array",
        "items": {"anyOf": [build_object_schema(chosen), {"type": "string"}]},
    }


def describe_about(group: str) -> Schema:
    """Return the schema of the `about` record in the file of an option."""
    fields = ABOUT_RECORDS["About"].fields | ABOUT_RECORDS[KINDS.get(group, About).__name__].fields
    schemas = {key: build_annotation_schema(kind, whole=True) for key, kind in fields.items()}
    return join_alternatives([build_object_schema(schemas), {"type": "null"}])


def describe_expectation() -> Schema:
    """Return the schema of the `expect` record of a recipe."""
    expectation = EXPECTATION_RECORDS["Expectation"]
    schema = build_record_schema(expectation, whole=True, optional=OPTIONAL)
    measured = expectation.fields["measured"]
    schema["properties"]["measured"] = build_record_schema(measured, True, OPTIONAL_MEASURED)
    return schema


def require_whole_spec() -> dict[str, Any]:
    """Return the rule that a `spec.yaml` states every setting that its version knew."""
    records = {key: {"required": list(SETTINGS[key].fields)} for key in RECORDS}
    required = [key for key in SETTINGS if key not in ADDED]
    return {
        "if": {"required": ["model"], "properties": {"model": {"required": ["name"]}}},
        "then": {"required": required, "properties": records},
    }


def list_choices(group: str, config_dir: str | None) -> list[dict[str, Any]]:
    """Return the rules by which a recipe sets only knobs of the option that it chooses.

    Where it chooses none, and does not begin with another recipe, it is the default option.
    """
    key, rules = f"override /{group}", []

    def choose(choice: Schema) -> Schema:
        return {"required": ["defaults"], "properties": {"defaults": {"contains": choice}}}

    for option in find_option_files(group, config_dir):
        chosen = {"type": "object", "properties": {key: {"const": option}}, "required": [key]}
        rules.append({"if": choose(chosen), "then": refer_to_option(group, option)})
    other_recipe = {"type": "string", "not": {"const": "_self_"}}
    is_spec = {"required": [group], "properties": {group: {"required": ["name"]}}}
    any_choice = {"anyOf": [other_recipe, {"type": "object", "required": [key]}]}
    stated = {"anyOf": [choose(any_choice), is_spec]}
    default = read_default_options()[group]
    return [*rules, {"if": {"not": stated}, "then": refer_to_option(group, default)}]


def refer_to_option(group: str, option: str) -> Schema:
    return {"properties": {group: {"$ref": f"#/$defs/{group}={option}"}}}
