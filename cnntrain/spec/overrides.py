"""One override as its author means it: Hydra's grammar, but for paths and names.

Hydra takes `2024` for a number and cannot read `~/photos`, `größe` or `My Photos (2)`. A value of
one of `TEXT_SETTINGS` is therefore put in quotes wherever the grammar leaves no doubt that it is
one text.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, ValueType
from hydra.errors import HydraException

from cnntrain.errors import SpecError
from cnntrain.spec.option_files import CHOICES
from cnntrain.spec.renames import rename_key

# The settings whose values are paths or names: every knob whose annotation is a plain `str`.
TEXT_SETTINGS = frozenset((
    "data_dir", "manual_dir", "weights_dir", "hydra.run.dir", "hydra.sweep.dir", "dataset.folder",
    "dataset.tfds", "dataset.image_key", "dataset.label_key", "init_from", "model.weights",
    "model.weights_dir", "tracking.uri", "tracking.experiment", "tracking.project",
    "finetune.from_layer",
))  # fmt: skip
# The settings that are lists of names.
NAME_LIST_SETTINGS = ("dataset.classes",)
MAX_NESTING = 30  # brackets within brackets; Hydra's parser and OmegaConf are recursive
SWEEP_TYPES = (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.CHOICE_SWEEP)
ESCAPE_PATTERN = re.compile(r"\\[\\()\[\]{}:=, \t]")  # what a backslash means something before


@dataclass
class ParsedOverride(Override):
    """An override by Hydra's grammar: `text` as it was typed, `input_line` as Hydra is to read it.

    Whoever takes one off a command line hands this on, so that it is parsed once; Hydra itself
    takes nothing but texts.
    """

    text: str = ""


def parse_override(text: str) -> ParsedOverride:
    """Parse one override, or say what an override looks like."""
    key = text.partition("=")[0]
    if measure_nesting(text) > MAX_NESTING:
        raise SpecError(
            f"{key} is nested {measure_nesting(text)} deep", f"at most {MAX_NESTING} brackets deep"
        )
    override = parse_with_hydra(quote_texts(text))
    if override is None:  # an option may have a name that Hydra cannot read
        override = parse_with_hydra(quote_texts(text, CHOICES))
    if override is None or not override.key_or_group:
        raise SpecError(
            f"{text!r} cannot be read",
            "key=value, with a value as YAML writes it",
            "quotes, if the value has commas, brackets, spaces or letters like é: "
            f"'{key.strip()}=\"…\"'"
            if "=" in text
            else "quotes, if it belongs to the value before it: 'dataset.folder=\"my photos\"'",
        )
    if override.package is not None:
        meant = f"{override.key_or_group}={text.partition('=')[2]}"
        raise SpecError(f"{text} names a package", "key=value", meant)
    return ParsedOverride(**vars(override), text=text)


def parse_overrides(texts: Sequence[str]) -> list[ParsedOverride]:
    """Parse the overrides of a command line."""
    return [parse_override(text) for text in texts]


def parse_single_override(text: str) -> ParsedOverride:
    """Parse an override of a run that exists, which has one value."""
    override = parse_override(text)
    if override.is_sweep_override():
        raise SpecError(f"{text} names several values", "one value")
    return override


def parse_with_hydra(text: str) -> Override | None:
    """An override as Hydra reads it, or None where it cannot."""
    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError):  # the latter for a number of more digits than Python reads
        return None


def measure_nesting(text: str) -> int:
    """How deep the brackets of a text are within each other."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def quote_texts(text: str, texts: Collection[str] = TEXT_SETTINGS) -> str:
    """An override in Hydra's grammar; the value of one of `texts`, a path or a name, in quotes."""
    key, equals, value = text.partition("=")
    name = rename_key(key.lstrip("+"))
    if (
        not equals
        or value[:1] in ("'", '"')
        or "${" in value
        or measure_nesting(text) > MAX_NESTING
    ):
        return text
    if name in texts:
        return f"{key}={quote_value(value)}"
    if name in NAME_LIST_SETTINGS and re.fullmatch(r"\[[^][(){}'\"]*\]", value):
        items = [item.strip() for item in value[1:-1].split(",") if value[1:-1].strip()]
        items = [item if item.isdecimal() else quote_literal(item) for item in items]
        return f"{key}=[{','.join(items)}]"
    return text


def quote_value(value: str) -> str:
    """A path or a name, or several between commas, in quotes if Hydra would read it otherwise."""
    override = parse_with_hydra(f"key={value}")
    if override is None or override.value_type in SWEEP_TYPES:
        if "," not in value or any(quote in value for quote in "'\""):
            return value if override is not None else quote_literal(value)
        choice = re.fullmatch(r"choice\((.*)\)", value, re.DOTALL)
        items = (choice[1] if choice else value).split(",")
        listed = ",".join(quote_value(item.strip()) for item in items)
        return f"choice({listed})" if choice else listed
    if override.value_type is not ValueType.ELEMENT or ESCAPE_PATTERN.search(value):
        return value
    meant = override.value()
    plain = meant == value or meant is None or isinstance(meant, list | dict | QuotedString)
    return value if plain else quote_literal(value)


def quote_literal(text: str) -> str:
    """A text as a value of an override, whatever characters it has."""
    text = text.replace("${", "\\${")  # no interpolation
    inside = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"
