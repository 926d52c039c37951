"""Conditions on the values of knobs, with their words for people and for a JSON schema."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LARGEST_INTEGER = 2**31 - 1  # the largest step, size or seed that TensorFlow can count
DURATION_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(%|steps?|epochs?)")
COMPARISONS = {
    "minimum": operator.ge, "exclusiveMinimum": operator.gt,
    "maximum": operator.le, "exclusiveMaximum": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Range:
    """A condition on a value of an annotated type, and its words in an error message.

    `keywords` are those of a JSON schema that say the same.
    """

    text: str
    holds: Callable[[Any], bool]
    keywords: Mapping[str, Any] = field(default_factory=dict, compare=False)


def make_range(text: str, **bounds: float) -> Range:
    """Return a range of numbers; `bounds` are keywords of a JSON schema, such as `minimum=0`."""
    comparisons = [(COMPARISONS[keyword], bound) for keyword, bound in bounds.items()]
    return Range(text, lambda value: all(holds(value, end) for holds, end in comparisons), bounds)


def make_integer_range(low: int, high: int) -> Range:
    """Return the range of whole numbers from `low` to `high`, both included."""
    return make_range(f"a whole number from {low} to {high}", minimum=low, maximum=high)


def is_duration(value: Any) -> bool:
    """Whether `value` is a number of epochs, or a text like `5%`, `400 steps`, `3 epochs`."""
    if isinstance(value, str):
        match = DURATION_PATTERN.fullmatch(value)
        return match is not None and float(match[1]) <= LARGEST_INTEGER
    return 0 <= value <= LARGEST_INTEGER


def is_model_override(text: str) -> bool:
    """Whether a text is an override of a knob of the model."""
    key, sign, value = text.partition("=")
    return key.startswith("model.") and bool(sign and value)


DURATION = Range(
    "epochs (5), steps ('400 steps') or a part of the run or phase ('5%')",
    is_duration,
    {"minimum": 0, "maximum": LARGEST_INTEGER, "pattern": f"^{DURATION_PATTERN.pattern}$"},
)
MODEL_OVERRIDE = Range(
    "an override such as model.hidden=4096", is_model_override, {"pattern": r"^model\.[^=]*=."}
)
