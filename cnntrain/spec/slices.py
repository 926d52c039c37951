"""Slices of a split, as TFDS writes them: `train[:10%]`, `train[100:-50]`, `train[:10%]+test`."""

import re
from dataclasses import dataclass

from cnntrain.errors import SpecError

BOUND = r"(-?\d+(?:\.\d+)?%|-?\d+)?"
SLICE = re.compile(rf"([\w-]+)(?:\[(?=[^\]]*\d){BOUND}:{BOUND}\])?")


@dataclass(frozen=True)
class Slice:
    """A slice of a split: its bounds are texts such as `10%`, `-50`, or None for either end."""

    text: str
    split: str
    begin: str | None
    end: str | None

    def locate(self, count: int) -> range:
        """Return which of the `count` examples of the split it takes; SpecError if none."""
        bounds = [
            default if bound is None else count_examples(bound, count)
            for bound, default in ((self.begin, 0), (self.end, count))
        ]
        begin, end = (bound + count if bound < 0 else bound for bound in bounds)
        if max(map(abs, bounds)) > count or begin >= end:
            raise SpecError(
                f"{self.text} takes the examples {begin:,} to {end:,} of {self.split}",
                f"some of its {count:,} examples",
            )
        return range(begin, end)


def count_examples(bound: str, count: int) -> int:
    """Return how many of `count` examples a bound stands for, percentages rounded as in TFDS."""
    if bound.endswith("%"):
        return round(float(bound.removesuffix("%")) * count / 100.0)
    return int(bound)


def parse_slices(text: str, key: str) -> list[Slice]:
    """Return the slices of which a text is the sum; SpecError, which names its `key`, if of none.

    Percentages and numbers of examples are not mixed in one slice.
    """
    slices = []
    for word in (part.strip() for part in text.split("+")):
        found = SLICE.fullmatch(word)
        bounds = [bound for bound in found.groups()[1:] if bound is not None] if found else []
        percents = [float(bound.removesuffix("%")) for bound in bounds if bound.endswith("%")]
        is_mixed = len(percents) not in (0, len(bounds))
        if found is None or is_mixed or max(map(abs, percents), default=0) > 100:
            raise SpecError(
                f"{key} is {text}",
                "a slice as TFDS writes it: train, train[:10%], train[100:200], train[-50:], "
                "or a sum of such",
                f"{key}='train[:10%]'",
            )
        slices.append(Slice(word, *found.groups()))
    return slices
