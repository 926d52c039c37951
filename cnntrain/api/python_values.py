"""Settings as a Python program gives them, written as overrides: `epochs=5`, `optimizer={...}`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.spec.overrides import parse_with_hydra, quote_literal

PLAIN_TEXT = re.compile(
    r"(?!(?:null|true|false|nan|inf)$)[A-Z_][A-Z0-9_.-]*", re.IGNORECASE | re.ASCII
)
VALUES = "a text, a number, True, False, None, a path, or a list or dict of these"


def collect_overrides(
    words: Sequence[str], settings: Mapping[str, Any], axes: Mapping[str, Any] | None = None
) -> list[str]:
    """Return words such as `model=vgg16`, and settings such as epochs=5, as overrides.

    A setting that is a dict has the knobs of an option: `optimizer={"learning_rate": 0.1}`. `axes`
    has the values of each setting that varies. Raises SpecError for what is no word, a setting that
    is given twice, and a value of another type.
    """
    check_words(words)
    overrides = [*words]
    for key, value in settings.items():
        if isinstance(value, Mapping):
            overrides += [format_override(f"{key}.{knob}", item) for knob, item in value.items()]
        else:
            overrides.append(format_override(key, value))
    overrides += [format_axis(key, values) for key, values in (axes or {}).items()]
    counts = Counter(word.partition("=")[0].lstrip("+") for word in overrides)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise SpecError(f"{twice[0]} is given twice", "each setting once")
    return overrides


def check_words(words: Sequence[Any]) -> None:
    """Raise SpecError for a positional argument that is no text, or a flag of the command line."""
    for word in words:
        if not isinstance(word, str):
            raise SpecError(
                f"{word!r} is given as a word",
                "words such as 'model=vgg16', or keywords",
                'train("model=vgg16", dataset="cifar10", epochs=30)',
            )
        if word.startswith("-"):
            hint = "cnntrain.sweep(…)" if word in ("-m", "--multirun") else None
            raise SpecError(f"{word} is a flag of the command line", "settings as key=value", hint)


def format_override(key: str, value: Any) -> str:
    """Return the override that gives a setting a Python value; SpecError for another type."""
    if isinstance(value, str) and "${" not in value:
        override = parse_with_hydra(text := f"{key}={value}")
        if override is not None and not override.is_sweep_override() and override.value() == value:
            return text  # without quotes, as people type it
    return f"{key}={format_value_for_hydra(key, value)}"


def format_axis(key: str, values: Any) -> str:
    """Return the override that gives a setting several values, one for each job of a sweep."""
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        hint = f"axes={{'{key}': [{values!r}, …]}}"
        raise SpecError(f"the axis {key} is {values!r}", "a list of values", hint)
    texts = [format_value_for_hydra(key, value) for value in values]
    if not texts:
        raise SpecError(f"the axis {key} has no values", "one value or more")
    return f"{key}={','.join(texts)}"


def format_value_for_hydra(key: str, value: Any) -> str:
    """Return a Python value in the grammar of overrides."""
    if hasattr(value, "tolist"):  # of numpy: a number, or an array of them
        value = value.tolist()
    if isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, str):
        return value if PLAIN_TEXT.fullmatch(value) else quote_literal(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | range):
        return f"[{','.join(format_value_for_hydra(key, item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(format_items(key, value))}}}"
    raise SpecError(f"{key} is {value!r}, of the type {type(value).__name__}", VALUES)


def format_items(key: str, value: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the items of a dict; SpecError for a key that overrides cannot have."""
    for name, item in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
            raise SpecError(
                f"{key} has the key {name!r}", "keys of letters, digits, dots and dashes"
            )
        yield f"{name}:{format_value_for_hydra(key, item)}"
