"""Which examples of TFDS' splits become train, valid and test: whole splits, or slices of them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from cnntrain.data.fetch.layouts import PARTS
from cnntrain.errors import SpecError, format_choices
from cnntrain.spec.slices import parse_slices


@dataclass(frozen=True)
class Piece:
    """Consecutive examples of a split of TFDS, which has `count` in all."""

    split: str
    rows: range
    count: int

    @property
    def instruction(self) -> str:
        """What TFDS is asked for."""
        whole = len(self.rows) == self.count
        return self.split if whole else f"{self.split}[{self.rows.start}:{self.rows.stop}]"


def divide_splits(
    sizes: Mapping[str, int], slices: Mapping[str, str | None]
) -> dict[str, list[Piece]]:
    """Return the pieces of each of our splits; one that TFDS does not have is missing.

    `sizes` are those of TFDS' splits by name. A split of ours without a slice is TFDS' split of
    that name, and a single split is train. Raises SpecError for slices of a split that does not
    exist, without examples, or with examples of another split of ours.
    """
    if len(sizes) == 1:
        texts = {"train": next(iter(sizes))}
    else:
        texts = {part: name for part, names in PARTS.items() for name in sizes if name in names}
    given = {part: text for part, text in slices.items() if text is not None}
    texts |= given
    parts = {
        part: make_pieces(texts[part], f"dataset.slices.{part}", sizes)
        for part in PARTS
        if part in texts
    }
    if given:
        check_overlap(parts, texts)
    return parts


def make_pieces(text: str, key: str, sizes: Mapping[str, int]) -> list[Piece]:
    """Return the pieces that a text such as `train[:10%]+test` stands for."""
    if text in sizes:  # a name need not be a slice that can be parsed
        return [Piece(text, range(sizes[text]), sizes[text])]
    pieces = []
    for part in parse_slices(text, key):
        if part.split not in sizes:
            raise SpecError(f"{key} is {text}", f"a slice of {format_choices(sizes, part.split)}")
        count = sizes[part.split]
        pieces.append(Piece(part.split, part.locate(count), count))
    return pieces


def check_overlap(parts: Mapping[str, list[Piece]], texts: Mapping[str, str]) -> None:
    """Raise SpecError if two pieces, whose parts are asked for by `texts`, share examples."""
    pieces = [(part, piece) for part, own in parts.items() for piece in own]
    for (part, piece), (other, beside) in itertools.combinations(pieces, 2):
        shared = range(
            max(piece.rows.start, beside.rows.start), min(piece.rows.stop, beside.rows.stop)
        )
        if piece.split == beside.split and len(shared):
            raise SpecError(
                f"{part} is {texts[part]} and {other} is {texts[other]}, which share "
                f"{len(shared):,} images",
                "splits that share none: dataset.slices.train='train[25%:]', "
                "dataset.slices.valid='train[10%:25%]', dataset.slices.test='train[:10%]'",
            )
