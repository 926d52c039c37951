"""What people should know of their photos: which are broken, transparent, of one colour, too dark.

Found while photos are decoded, kept beside decoded photos, said by `data verify` and by every run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cnntrain.datasets.modes import SIXTEEN_BITS, Span
from cnntrain.datasets.photos import DecodedPhoto

NARROW = (SIXTEEN_BITS[1] + 1) / 4  # values of 16 bits that leave less than 64 of 256 shades
SHARE = 0.01  # of all photos: fewer of one colour are not worth a word


@dataclass(frozen=True)
class Findings:
    """Rows of photos: the `broken` ones, each with the reason, those through which white shows,
    those of one colour, and the least and greatest value of those with more than 8 bits.
    """

    broken: dict[int, str] = field(default_factory=dict)
    transparent: list[int] = field(default_factory=list)
    uniform: list[int] = field(default_factory=list)
    spans: dict[int, Span] = field(default_factory=dict)

    def add(self, row: int, photo: DecodedPhoto | str) -> None:
        """Note what is to be known of a photo, or why there is none."""
        if isinstance(photo, str):
            self.broken[row] = photo
            return
        if photo.transparent:
            self.transparent.append(row)
        if photo.uniform:
            self.uniform.append(row)
        if photo.span is not None:
            self.spans[row] = photo.span

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Findings":
        """Return what `as_json` has made, once it was written and read."""
        broken, spans = ({int(row): value for row, value in found[key].items()}
                         for key in ("broken", "spans"))  # fmt: skip
        return cls(broken, found["transparent"], found["uniform"], spans)

    def notes(self, count: int, value_range: Span | None) -> Iterator[str]:
        """Yield what is to be said of `count` photos that are decoded with a `value_range`."""
        if self.transparent:
            yield f"{photos(self.transparent, count)} transparent parts, which are laid on white"
        if self.uniform and len(self.uniform) >= SHARE * (count - len(self.broken)):
            yield (
                f"Warning: {photos(self.uniform, count)} a single colour and nothing else: there "
                "is nothing to learn from"
            )
        spans = list(self.spans.values())
        yield from too_narrow(spans) if value_range is None else clipped(spans, value_range)


def photos(rows: list[int], count: int) -> str:
    return f"{len(rows):,} of {count:,} photos ha{'s' if len(rows) == 1 else 've'}"


def too_narrow(spans: list[Span]) -> Iterator[str]:
    """Say where most photos of 16 bits use a small part of these."""
    narrow = [(low, high) for low, high in spans if high - low < NARROW]
    if not narrow or len(narrow) <= len(spans) / 2:
        return
    low, high = min(low for low, _ in narrow), max(high for _, high in narrow)
    bits = max(8, int(high).bit_length())
    likely = (0, 2**bits - 1) if high < NARROW else (low, high)
    yield (
        f"Warning: {len(narrow):,} photos have 16 bits and use a small part of them, from {low:,g} "
        f"to {high:,g} of 65,535: most of their shades are lost. Say which values are black and "
        f"white: 'dataset.value_range=[{likely[0]:g},{likely[1]:g}]'"
    )


def clipped(spans: list[Span], value_range: Span) -> Iterator[str]:
    """Say what a range does not hold, and where there is nothing that it changes."""
    low, high = value_range
    if not spans:
        yield "Warning: dataset.value_range changes nothing: no photo has more than 8 bits"
    beyond = [span for span in spans if span[0] < low or span[1] > high]
    if beyond:
        least, greatest = min(low for low, _ in beyond), max(high for _, high in beyond)
        yield (
            f"{len(beyond):,} photos have values beyond dataset.value_range=[{low:g},{high:g}], "
            f"from {least:,g} to {greatest:,g}, which are black or white"
        )
