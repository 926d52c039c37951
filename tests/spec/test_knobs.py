"""Values are converted strictly: a value that is not exactly right raises SpecError."""

import math
from typing import Literal

import pytest

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import (
    Count,
    Duration,
    Factor,
    Fraction,
    Natural,
    NonNegative,
    Pixel,
    Positive,
    Probability,
    Share,
    convert_value,
    count_steps,
)

GOOD = [
    (3, Count, 3),
    (0, Natural, 0),
    (255, Pixel, 255),
    (1, Positive, 1.0),
    (1e-3, Positive, 1e-3),
    (0, NonNegative, 0.0),
    (1, Fraction, 1.0),
    (0.5, Probability, 0.5),
    (0.1, Factor, 0.1),
    (1.2e-38, Positive, 1.2e-38),
    (3.4e38, Positive, 3.4e38),
    (0.9999999, Factor, 0.9999999),
    (5000, Share, 5000),
    (0.1, Share, 0.1),
    (None, Count | None, None),
    (2, Count | None, 2),
    (5, Duration, 5.0),
    (0.5, Duration, 0.5),
    ("5%", Duration, "5%"),
    ("400 steps", Duration, "400 steps"),
    ("a", Literal["a", "b"], "a"),
    ("auto", Literal["auto"] | Fraction, "auto"),
    ([1, 2], list[Count], (1, 2)),
    ([1, 2], tuple[Count, Count], (1, 2)),
    ([], list[Count], ()),
    (True, bool, True),
    ("text", str, "text"),
]
BAD = [
    (0, Count),
    (True, Count),
    (2.0, Count),
    ("2", Count),
    (None, Count),
    (-1, Natural),
    (256, Pixel),
    (0, Positive),
    (math.nan, Positive),
    (math.inf, Positive),
    (True, Positive),
    ("1e-3", Positive),
    (-0.1, NonNegative),
    (1e-46, Positive),  # 0 in float32
    (1e-39, Positive),  # which processors take for 0
    (1e-46, Positive | None),
    (1e-46, NonNegative),
    (1e39, Positive),  # inf in float32
    (10**400, Positive),  # of any float
    (1e-60, float),
    (0.999999999, Factor),  # 1 in float32
    (0.999999999, Probability),
    ([0.1, 1e-50], list[Positive]),
    (1.1, Fraction),
    (1, Probability),
    (0, Factor),
    (1.0, Share),
    (0, Share),
    (-1, Duration),
    ("five", Duration),
    ("5 %%", Duration),
    ("A", Literal["a", "b"]),
    (1, Literal["1"]),
    (True, Literal[1, 3]),
    ([[1]], list[Count]),
    ([0], list[Count]),
    (1, list[Count]),
    ("12", list[Count]),
    ([1], tuple[Count, Count]),
    ([1, 2, 3], tuple[Count, Count]),
    (2, bool),
    ("true", bool),
    (1, str),
]


@pytest.mark.parametrize(("value", "annotation", "expected"), GOOD)
def test_right_value_is_taken(value, annotation, expected):
    converted = convert_value(value, annotation, "knob")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(("value", "annotation"), BAD)
def test_wrong_value_is_refused(value, annotation):
    with pytest.raises(SpecError, match="knob"):
        convert_value(value, annotation, "knob")


@pytest.mark.parametrize(("value", "shown"), [(1e-46, "this is 0"), (1e39, "this is inf")])
@pytest.mark.parametrize("annotation", [Positive, Positive | None])
def test_message_explains_a_number_that_float32_cannot_hold(value, shown, annotation):
    with pytest.raises(SpecError, match=f"in float32, with which networks compute, {shown}"):
        convert_value(value, annotation, "knob")


@pytest.mark.parametrize(
    ("duration", "steps"),
    [(2, 20), (0.25, 2), ("5%", 10), ("30 steps", 30), ("1 step", 1), ("3 epochs", 30), (0, 0)],
)
def test_duration_is_counted_in_steps(duration, steps):
    assert count_steps(duration, steps_per_epoch=10, total_steps=200) == steps
