"""What users should know of their photos: broken, transparent, of one colour, or badly scaled.

Values of 16 bits are badly scaled if `value_range` clips them or leaves few shades of them.
Decoding collects these findings, the cache keeps them, `data verify` and every run report them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cnntrain.data.photos.modes import SIXTEEN_BITS, Span, ValueRange
from cnntrain.data.photos.photo import DecodedPhoto

NARROW_SHARE = 1 / 4  # of the range: a photo that uses less has fewer than 64 of 256 shades
UNIFORM_SHARE = 0.01  # of the photos that are not broken: fewer of one colour are not reported


@dataclass
class Findings:
    """What decoding has shown about photos, by their rows.

    `broken` gives the reason for each photo that cannot be decoded, `transparent` lists those laid
    on white, `uniform` those of one colour, and `spans` gives the least and the greatest value of
    those of more than 8 bits. `value_range` says which values became black and white, with `auto`
    settled.
    """

    broken: dict[int, str] = field(default_factory=dict)
    transparent: list[int] = field(default_factory=list)
    uniform: list[int] = field(default_factory=list)
    spans: dict[int, Span] = field(default_factory=dict)
    value_range: Span | None = None

    def add_photo(self, row: int, photo: DecodedPhoto | str) -> None:
        """Note what is special about the photo `row`; a text says why it is broken."""
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
    def from_json(cls, values: Mapping[str, Any]) -> "Findings":
        """Return the findings that `as_json` gave, after they were written and read."""
        broken, spans = ({int(row): value for row, value in values[key].items()}
                         for key in ("broken", "spans"))  # fmt: skip
        settled = values["value_range"] and tuple(values["value_range"])
        return cls(broken, values["transparent"], values["uniform"], spans, settled)

    def list_notes(self, count: int, value_range: ValueRange) -> Iterator[str]:
        """Yield what a user should read about `count` photos, a sentence each.

        `value_range` is the setting as the spec has it, before `auto` is settled.
        """
        if self.transparent:
            transparent = format_photo_count(len(self.transparent), count)
            yield f"{transparent} transparent parts, which are laid on white"
        if self.uniform and len(self.uniform) >= UNIFORM_SHARE * (count - len(self.broken)):
            yield (
                f"Warning: {format_photo_count(len(self.uniform), count)} a single colour and "
                "nothing else: a network can learn nothing from that"
            )
        spans, settled = list(self.spans.values()), self.value_range or SIXTEEN_BITS
        if isinstance(value_range, tuple):
            yield from describe_clipping(spans, value_range, count)
            return
        if spans and settled != SIXTEEN_BITS:
            bits = int(settled[1]).bit_length()
            yield (
                f"{format_photo_count(len(spans), count)} 16 bits, of which {bits} are used: "
                f"{settled[1]:,g} becomes white (dataset.value_range)"
            )
        yield from describe_narrow_values(spans, settled, count)


def format_photo_count(part: int, count: int) -> str:
    return f"{part:,} of {count:,} photos ha{'s' if part == 1 else 've'}"


def describe_narrow_values(spans: list[Span], settled: Span, count: int) -> Iterator[str]:
    """Yield a warning if most photos of more than 8 bits use only a small part of the range."""
    black, white = settled
    narrow = [(low, high) for low, high in spans if high - low < NARROW_SHARE * (white - black)]
    if not narrow or len(narrow) <= len(spans) / 2:
        return
    low, high = min(low for low, _ in narrow), max(high for _, high in narrow)
    yield (
        f"Warning: {format_photo_count(len(narrow), count)} 16 bits and only values from {low:,g} "
        f"to {high:,g}. The 256 shades reach from {black:,g} to {white:,g}: most are not used. "
        f"'dataset.value_range=[{low:g},{high:g}]' keeps them"
    )


def describe_clipping(spans: list[Span], value_range: Span, count: int) -> Iterator[str]:
    """Yield a note on values outside the range, and a warning if it applies to no photo."""
    low, high = value_range
    if not spans:
        yield "Warning: dataset.value_range changes nothing: no photo has more than 8 bits"
    beyond = [span for span in spans if span[0] < low or span[1] > high]
    if beyond:
        least, greatest = min(low for low, _ in beyond), max(high for _, high in beyond)
        yield (
            f"{format_photo_count(len(beyond), count)} values beyond "
            f"dataset.value_range=[{low:g},{high:g}], "
            f"from {least:,g} to {greatest:,g}, which are black or white"
        )
