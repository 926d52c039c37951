"""The vocabulary of knobs: annotations that carry a type and a range, and the strict conversion.

A knob's annotation is its whole schema. These names, `bool`, `int`, `float`, `str`, `Literal[...]`,
`list[...]`, `tuple[...]`, `dict[...]`, `... | None`, `Record`s and `NestedComponent`s are all that
is understood. OmegaConf's own conversion is not used: it accepts nan for a float, 2 for a bool and
tuples of any length. Pydantic's strict one is exact enough, but it would take more lines to restate
its errors as given, expected and try than to convert.
"""

import functools
import math
import shlex
import struct
import types
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.files.documents import parse_yaml
from cnntrain.spec.ranges import (
    DURATION,
    DURATION_PATTERN,
    LARGEST_INTEGER,
    MODEL_OVERRIDE,
    Range,
    make_integer_range,
    make_range,
)


@dataclass(frozen=True)
class Record:
    """A knob made of knobs, such as `schedule.plateau`: the name of its class and its fields."""

    name: str
    fields: Mapping[str, Any]
    may_be_none: bool = False

    def __or__(self, other: None) -> "Record":
        """Return the record of the annotation `Record | None`."""
        return replace(self, may_be_none=True)


@dataclass(frozen=True)
class NestedComponent:
    """A knob that is a component, such as `finetune.schedule` or one of `augmentation.ops`.

    `make_component` returns it for its group, its mapping and the dotted key of that mapping.
    """

    group: str
    make_component: Callable[[str, Mapping[str, Any], str], Any]

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007 (this is what makes `|` work)


Seed = Annotated[int, make_integer_range(0, LARGEST_INTEGER)]
Count = Annotated[int, make_integer_range(1, LARGEST_INTEGER)]
Natural = Annotated[int, make_integer_range(0, LARGEST_INTEGER)]
Folds = Annotated[int, make_integer_range(2, 1000)]
# A number of threads, processes or devices.
Workers = Annotated[int, make_integer_range(1, 1024)]
Decoders = Annotated[int, make_integer_range(0, 1024)]  # 0: threads decode
# A number of layers, or of parts of one; the deepest published network has 1,202.
Depth = Annotated[int, make_integer_range(1, 2000)]
Positive = Annotated[float, make_range("a number above 0", exclusiveMinimum=0)]
NonNegative = Annotated[float, make_range("a number from 0", minimum=0)]
Fraction = Annotated[float, make_range("a number from 0 to 1", minimum=0, maximum=1)]
Probability = Annotated[
    float, make_range("a number from 0, below 1", minimum=0, exclusiveMaximum=1)
]
Factor = Annotated[
    float, make_range("a number between 0 and 1", exclusiveMinimum=0, exclusiveMaximum=1)
]
Pixel = Annotated[int, make_integer_range(0, 255)]
# A part of the examples: their number, or a fraction of all.
Share = Count | Factor
# A stretch of a run: a number of epochs, or a text with a unit.
Duration = Annotated[float | str, DURATION]
# The name of a class; digits' are numbers, and YAML reads them so.
Name = Annotated[int | str, Range("a name", lambda v: True)]
# Bytes of files, and the year of a paper.
ByteCount = Annotated[int, make_range("a whole number from 0", minimum=0)]
Year = Annotated[int, make_integer_range(1900, 2100)]
ModelOverride = Annotated[str, MODEL_OVERRIDE]
# RandAugment's scale of how strongly images are distorted.
Strength = Annotated[int, make_integer_range(0, 30)]
# One of the keys of the VARIANTS table of the component's own module.
Variant = str

VOCABULARY = {
    name: value
    for name, value in globals().items()
    if get_origin(value) in (Annotated, types.UnionType, Union)
} | {"Literal": Literal, "bool": bool, "int": int, "float": float, "str": str}

SMALLEST_FLOAT32 = 2**-126  # of the numbers that float32 holds with all their digits
MISSING = "???"  # how YAML says that the user must give a value
TYPE_NAMES = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text",
    list: "a list", dict: "a mapping",
}  # fmt: skip


def count_steps(duration: float | str, steps_per_epoch: int, total_steps: int) -> int:
    """Return the length of a `Duration` in steps, rounded to the nearest."""
    if not isinstance(duration, str):
        return round(duration * steps_per_epoch)
    match = DURATION_PATTERN.fullmatch(duration)
    assert match is not None, duration  # `convert_value` has checked it
    number, unit = float(match[1]), match[2]
    if unit == "%":
        return round(number / 100 * total_steps)
    return round(number * steps_per_epoch) if unit.startswith("epoch") else round(number)


def describe_annotation(annotation: Any, near: str = "") -> str:
    """Return in words what a value must be, such as `a number above 0, or null`.

    `near` is the wrong value; of many choices, those nearest to it are named.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if isinstance(annotation, Record):
        return f"the settings {', '.join(annotation.fields)}"
    if isinstance(annotation, NestedComponent):
        return f"the name of a component of {annotation.group} and its settings"
    if origin is Annotated:
        return args[1].text
    if origin is Literal:
        return format_choices((format_value(value) for value in args), near)
    if origin is list:
        return f"a list, each {describe_annotation(args[0])}"
    if origin is dict:
        return f"a mapping of names, each to {describe_annotation(args[1])}"
    if origin is tuple:
        return f"a list of {len(args)}: {', '.join(describe_annotation(arg) for arg in args)}"
    if origin in (types.UnionType, Union):
        return ", or ".join(describe_annotation(arg, near) for arg in args)
    return TYPE_NAMES[annotation]


def format_value(value: Any) -> str:
    """Return a value as YAML and the command line write it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    return value if is_text_in_yaml(value) else repr(value)


@functools.lru_cache(10_000)
def is_text_in_yaml(text: str) -> bool:
    """Return whether YAML reads a text, without quotes round it, as a text."""
    try:
        return isinstance(parse_yaml(text), str)
    except ValueError:
        return False


def normalise_unicode(name: object, form: Literal["NFC", "NFD"] = "NFC") -> str:
    """Return a name in one of Unicode's forms: macOS writes é as two characters, others as one."""
    return unicodedata.normalize(form, str(name))


def convert_value(value: Any, annotation: Any, where: str) -> Any:
    """Return `value` converted to `annotation`; lists become tuples.

    `where` is its dotted key. Raises SpecError if the value does not fit.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, Record):
        return convert_record(value, annotation, where)
    if isinstance(annotation, NestedComponent):
        return convert_nested(value, annotation, where)
    if origin in (types.UnionType, Union):
        return convert_union(value, annotation, where)
    if origin is Annotated:
        converted = convert_value(value, args[0], where) if has_plain_type(value, args[0]) else None
        if converted is not None and all(
            map(args[1].holds, (converted, round_to_float32(converted)))
        ):
            return converted
    elif origin is Literal:
        if any(type(value) is type(choice) and value == choice for choice in args):
            return value
        close = find_nearest(value, [str(choice) for choice in args])
        raise explain_refused_value(
            value, annotation, where, format_setting(where, close) if close else None
        )
    elif origin is list and isinstance(value, list | tuple):
        return tuple(convert_value(item, args[0], f"{where}[{i}]") for i, item in enumerate(value))
    elif origin is tuple and isinstance(value, list | tuple) and len(value) == len(args):
        return tuple(
            convert_value(v, a, f"{where}[{i}]")
            for i, (v, a) in enumerate(zip(value, args, strict=True))
        )
    elif origin is dict and isinstance(value, Mapping):
        return {
            convert_value(key, args[0], where): convert_value(item, args[1], f"{where}.{key}")
            for key, item in value.items()
        }
    elif has_plain_type(value, annotation):
        return float(value) if annotation is float else value
    raise explain_refused_value(
        value, annotation, where, suggest_equal_parts(value, annotation, where)
    )


def has_plain_type(value: Any, annotation: Any) -> bool:
    """Whether `value` has a plain type: no bool for an int, no nan or inf for a float.

    A float that float32, with which networks compute, rounds to 0 or inf is refused, too.
    """
    if get_origin(annotation) in (types.UnionType, Union):
        return any(has_plain_type(value, arg) for arg in get_args(annotation))
    if annotation is str:  # no path, and no name, has the character 0
        return isinstance(value, str) and "\0" not in value
    if annotation is float and type(value) in (int, float):
        rounded = round_number_to_float32(value)
        return math.isfinite(rounded) and (rounded != 0 or value == 0)
    return type(value) is annotation


def round_to_float32(value: Any) -> Any:
    """Return a float rounded to float32; any other value is returned as it is."""
    return round_number_to_float32(value) if type(value) is float else value


def round_number_to_float32(value: float) -> float:
    """Return a number rounded to float32: 0 below 2^-126, as in processors; inf if too large."""
    try:
        [rounded] = struct.unpack("f", struct.pack("f", value))
    except (OverflowError, struct.error):  # the latter for an int that is too large for a float
        return math.inf if value > 0 else -math.inf
    return 0.0 if abs(rounded) < SMALLEST_FLOAT32 else rounded


def convert_union(value: Any, annotation: Any, where: str) -> Any:
    alternatives = get_args(annotation)
    if value is None and type(None) in alternatives:
        return None
    for alternative in alternatives:
        if isinstance(alternative, NestedComponent) and isinstance(value, Mapping):
            return convert_nested(value, alternative, where)
        if alternative is not type(None):
            try:
                return convert_value(value, alternative, where)
            except SpecError:
                continue
    hints = (suggest_equal_parts(value, alternative, where) for alternative in alternatives)
    raise explain_refused_value(
        value, annotation, where, next((hint for hint in hints if hint), None)
    )


def suggest_equal_parts(value: Any, annotation: Any, where: str) -> str | None:
    """Return `'dataset.image_size=[32,32]'` for 32, if a list of equal parts would be right."""
    parts = get_args(annotation) if get_origin(annotation) is tuple else ()
    try:
        values = [convert_value(value, part, where) for part in parts]
    except SpecError:
        return None
    whole = ",".join(format_value(value) for value in values)
    return shlex.quote(format_setting(where, f"[{whole}]")) if values else None


def convert_record(value: Any, record: Record, where: str) -> Mapping[str, Any] | None:
    if value is None and record.may_be_none:
        return None
    if not isinstance(value, Mapping):
        raise explain_refused_value(value, record, where)
    return convert_all(value, record.fields, where)


def convert_nested(value: Any, nested: NestedComponent, where: str) -> Any:
    if not isinstance(value, Mapping):
        hint = f"{{name: {value}}}" if isinstance(value, str) else None
        raise explain_refused_value(value, nested, where, hint)
    return nested.make_component(nested.group, value, where)


def convert_all(
    values: Mapping[str, Any], fields: Mapping[str, Any], where: str
) -> Mapping[str, Any]:
    """Convert each value of a mapping to its annotation in `fields`.

    Raises SpecError if it does not have exactly the keys of `fields`, or a value does not fit.
    """
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in fields:
            close = find_nearest(key, fields)
            raise SpecError(
                f"{prefix}{key} is not a setting",
                format_choices(fields) if fields else "no settings here",
                format_setting(f"{prefix}{close}", format_value(values[key])) if close else None,
            )
    for key, annotation in fields.items():
        if values.get(key, MISSING) == MISSING:
            plus = "" if key in values else "+"  # Hydra's, for a key that the file lacks
            raise SpecError(
                f"{prefix}{key} is not given",
                describe_annotation(annotation),
                format_setting(f"{plus}{prefix}{key}", "…"),
            )
    return types.MappingProxyType(
        {
            key: convert_value(values[key], annotation, prefix + key)
            for key, annotation in fields.items()
        }
    )


def format_setting(where: str, value: str) -> str:
    """Return `model.dropout=0.5`, or within a list of mappings, as YAML, `size: 8`."""
    before, _, key = where.rpartition(".")
    return f"{key}: {value}" if "[" in before else f"{where}={value}"


def explain_refused_value(
    value: Any, annotation: Any, where: str, hint: str | None = None
) -> SpecError:
    expected = describe_annotation(annotation, format_value(value))
    rounded = round_number_to_float32(value) if type(value) in (int, float) else value
    if rounded != value and rounded in (0, 1, math.inf, -math.inf):
        expected += f"; in float32, with which networks compute, this is {rounded:g}"
    return SpecError(f"{where} is {format_value(value)}", expected, hint)
