"""Parse overrides by Hydra's grammar, except for paths and names, which may have any characters.

Hydra reads `2024` as a number and cannot read `~/photos`, `größe` or `My Photos (2)`. The value of
a setting in `TEXT_SETTINGS` is therefore quoted wherever it can only be one text.
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
    "dataset.table", "dataset.file_column", "dataset.label_column", "dataset.split_column",
    "dataset.weight_column", "dataset.tfds", "dataset.image_key", "dataset.label_key",
    "dataset.slices.train", "dataset.slices.valid", "dataset.slices.test", "init_from",
    "model.weights", "model.weights_dir", "tracking.uri", "tracking.experiment", "tracking.project",
    "finetune.from_layer",
))  # fmt: skip
# The settings that are lists of names.
NAME_LIST_SETTINGS = ("dataset.classes", "dataset.label_columns")
MAX_NESTING = 30  # brackets within brackets; Hydra's parser and OmegaConf are recursive
SWEEP_TYPES = (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.CHOICE_SWEEP)
ESCAPE_PATTERN = re.compile(r"\\[\\()\[\]{}:=, \t]")  # characters that a backslash escapes


@dataclass
class ParsedOverride(Override):
    """A parsed override: `text` is what was typed, `input_line` what Hydra reads, with quotes.

    It is parsed once and then handed on, although Hydra itself takes only texts.
    """

    text: str = ""


def parse_override(text: str) -> ParsedOverride:
    """Parse one override; raise SpecError if it cannot be read."""
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
    """Parse an override of a run that exists; raise SpecError if it has several values."""
    override = parse_override(text)
    if override.is_sweep_override():
        raise SpecError(f"{text} names several values", "one value")
    return override


def parse_with_hydra(text: str) -> Override | None:
    """Return an override as Hydra reads it, or None if Hydra cannot."""
    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError):  # the latter for a number of more digits than Python reads
        return None


def measure_nesting(text: str) -> int:
    """Return how deep the brackets of a text are nested."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def quote_texts(text: str, texts: Collection[str] = TEXT_SETTINGS) -> str:
    """Return an override in Hydra's grammar, quoted if it sets one of `texts`, paths or names."""
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
    """Return a path or a name, or several between commas, quoted if Hydra would misread it."""
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


def quote_path(path: str) -> str:
    """Return a path as the value of an override, in quotes if Hydra may misread it."""
    plain = all(letter.isalnum() or letter in "/._-~ " for letter in path)
    return path if plain else quote_literal(path)


def spell_names(names: Sequence[str]) -> str:
    """Return names as the value of one of NAME_LIST_SETTINGS, in quotes if Hydra needs them."""
    plain = all(re.fullmatch(r"[\w .-]+", name) for name in names)
    return f"[{','.join(names if plain else map(quote_literal, names))}]"


def quote_literal(text: str) -> str:
    """Return a text, whatever characters it has, as a quoted value of an override."""
    text = text.replace("${", "\\${")  # no interpolation
    inside = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"
