"""The JSON schema of a knob's annotation (draft 2020-12).

It refuses what `convert_value` refuses, but for what JSON cannot say: `2.0` is a whole number
there, a duration of more than 2^31 steps has the form of one, and nothing rounds to float32.
"""

import types
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cnntrain.spec.knobs import NestedComponent, Record

PLAIN_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def build_annotation_schema(annotation: Any, whole: bool) -> dict[str, Any]:
    """Return the schema of the values that an annotation admits.

    A record, or a component within another one, may leave out what it does not change, unless it
    has to be `whole`.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, Record):
        return build_record_schema(annotation, whole)
    if isinstance(annotation, NestedComponent):
        return refer_to_nested(annotation.group, whole)
    if origin is Annotated:
        return {**build_annotation_schema(args[0], whole), **args[1].keywords}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is list:
        return {"type": "array", "items": build_item_schema(args[0], whole)}
    if origin is dict:
        names = build_annotation_schema(args[0], whole)
        keys = {"propertyNames": names} if "enum" in names else {}  # in YAML names may be numbers
        values = build_annotation_schema(args[1], whole)
        return {"type": "object", **keys, "additionalProperties": values}
    if origin is tuple:
        items = [build_annotation_schema(arg, whole) for arg in args]
        alike = all(item == items[0] for item in items)
        parts = {"items": items[0]} if alike else {"prefixItems": items}
        return {"type": "array", **parts, "minItems": len(args), "maxItems": len(args)}
    if origin in (types.UnionType, Union):
        return join_alternatives([build_annotation_schema(arg, whole) for arg in args])
    return {"type": PLAIN_TYPES[annotation]}


def build_record_schema(
    record: Record, whole: bool, optional: Collection[str] = ()
) -> dict[str, Any]:
    """Return the schema of a record of knobs; a `whole` one has all fields but the `optional`."""
    if record.may_be_none:
        alone = build_record_schema(replace(record, may_be_none=False), whole, optional)
        return join_alternatives([alone, {"type": "null"}])
    fields = {key: build_annotation_schema(kind, whole) for key, kind in record.fields.items()}
    required = [key for key in fields if key not in optional] if whole else []
    return build_object_schema(fields, required)


def build_object_schema(
    properties: Mapping[str, Any], required: Collection[str] = ()
) -> dict[str, Any]:
    """Return the schema of a mapping that has no other keys than `properties`."""
    keys = {"required": list(required)} if required else {}
    return {
        "type": "object",
        "properties": dict(properties),
        **keys,
        "additionalProperties": False,
    }


def build_item_schema(annotation: Any, whole: bool) -> dict[str, Any]:
    """Return the schema of an item of a list; a component there cannot be its name alone."""
    if isinstance(annotation, NestedComponent) and not whole:
        return {"$ref": f"#/$defs/{annotation.group}.stated"}
    return build_annotation_schema(annotation, whole)


def refer_to_nested(group: str, whole: bool) -> dict[str, Any]:
    """Return the schema of a component within another one; the name of an option may stand for it.

    The definitions are those of `spec/schema/configuration.py`.
    """
    if whole:
        return {"$ref": f"#/$defs/{group}.component"}
    stated, option = f"#/$defs/{group}.stated", f"#/$defs/{group}.option"
    return join_alternatives([{"$ref": stated}, {"$ref": option}])


def join_alternatives(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of what one of several admits; words and plain types are put together."""
    words = [word for schema in schemas if set(schema) == {"enum"} for word in schema["enum"]]
    kinds = [schema["type"] for schema in schemas if set(schema) == {"type"}]
    plain = [name for kind in kinds for name in ([kind] if isinstance(kind, str) else kind)]
    joined = [schema for schema in schemas if set(schema) not in ({"enum"}, {"type"})]
    if words:
        joined.append({"enum": words})
    if plain:
        joined.append({"type": plain[0] if len(plain) == 1 else plain})
    return joined[0] if len(joined) == 1 else {"anyOf": joined}
