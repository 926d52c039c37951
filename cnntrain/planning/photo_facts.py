"""Look at the photos of a folder or table before a run: counts, sizes, colours, exact doubles.

Only headers and bytes of files are read, and no pixel is decoded; the facts are a function of the
files. `cnntrain data verify` looks closer.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cnntrain.data.labels import count_labels
from cnntrain.data.photos.decode import explain_broken_photo, get_thread_pool, iterate_row_ranges
from cnntrain.data.photos.modes import is_grey
from cnntrain.data.photos.photo import Photos, find_upright_size, open_image, read_header
from cnntrain.data.source import Source
from cnntrain.data.splits import SplitRows, check_decodable_classes
from cnntrain.errors import SpecError
from cnntrain.terminal.progress import show_progress

COMPARED_PHOTOS = 10_000  # of more than these, some stand for all, and doubles are not sought
LOOKED_AT = 1000


class PhotoLook(NamedTuple):
    """What the file of a photo shows before it is decoded; `why` says that it is no image."""

    digest: bytes
    height: int
    width: int
    grey: bool
    why: str | None


@dataclass(frozen=True)
class PhotoFacts:
    """What is known of the photos of a data set: `looks` are those at the rows `rows`.

    `classes` counts the photos of each class, `parts` those of each official part. `notes` are
    those of the source, such as what lies in no class folder.
    """

    classes: Mapping[str, int]
    parts: Mapping[str, int]
    total: int
    rows: np.ndarray
    looks: Sequence[PhotoLook]
    names: Sequence[str]
    has_several_labels: bool = False  # a photo may be of several classes
    notes: Sequence[str] = ()

    @property
    def whole(self) -> list[PhotoLook]:
        return [look for look in self.looks if look.why is None]

    @property
    def is_complete(self) -> bool:
        """Whether every photo was looked at."""
        return len(self.looks) == self.total

    @property
    def size(self) -> tuple[int, int]:
        """The median height and width."""
        heights, widths = zip(*((look.height, look.width) for look in self.whole), strict=True)
        return int(np.median(heights)), int(np.median(widths))

    @property
    def has_one_size(self) -> bool:
        return len({(look.height, look.width) for look in self.whole}) == 1

    @property
    def is_grey(self) -> bool:
        return all(look.grey for look in self.whole)

    @property
    def broken(self) -> list[tuple[str, str]]:
        """The files that are no images, each with the reason."""
        pairs = zip(self.rows, self.looks, strict=True)
        return [(self.names[row], look.why) for row, look in pairs if look.why is not None]

    @property
    def imbalance(self) -> float:
        """How many times more photos the commonest class has than the rarest."""
        counts = [count for count in self.classes.values() if count]
        return max(counts) / min(counts)

    def find_doubles(self) -> list[list[int]]:
        """Return the rows of files with the same bytes, a list for each file that recurs."""
        groups: dict[bytes, list[int]] = {}
        for row, look in zip(self.rows, self.looks, strict=True):
            if look.why is None:
                groups.setdefault(look.digest, []).append(int(row))
        return [rows for rows in groups.values() if len(rows) > 1]


def look_at_photos(source: Source) -> tuple[PhotoFacts, Source]:
    """Return the facts of a source's photos, and the source without those that are no images.

    Raises SpecError if the images are no photos in files, and for a class without an image.
    """
    photos = source.images
    if not isinstance(photos, Photos):
        raise SpecError("the images are no photos in files", "a folder, a zip or a table of photos")
    rows = np.arange(len(photos))
    if len(photos) > COMPARED_PHOTOS:
        rows = np.unique(np.linspace(0, len(photos) - 1, LOOKED_AT).astype(int))
    looks = read_looks(photos, rows)
    whole = np.ones(len(photos), bool)
    pairs = zip(rows.tolist(), looks, strict=True)
    broken = {row: look.why for row, look in pairs if look.why is not None}
    whole[list(broken)] = False
    if len(rows) == len(photos):
        reasons = {photos.names[row]: why for row, why in broken.items()}
        check_decodable_classes(source, whole, reasons)
        source = source.keep_examples(whole)
    parts = {part: len(own) for part, own in source.parts.items()}
    every = np.unique(np.concatenate(list(source.parts.values())))
    counts = count_labels(source.labels[every], len(source.class_names)).tolist()
    classes = dict(zip(source.class_names, counts, strict=True))
    several = source.labels.ndim == 2
    facts = PhotoFacts(
        classes, parts, len(photos), rows, looks, photos.names, several, source.notes
    )
    if not facts.whole:
        name, why = facts.broken[0]
        raise SpecError(
            f"none of {len(looks):,} files is an image, for example {name} ({why})",
            "files that can be decoded",
        )
    return facts, source


def read_looks(photos: Photos, rows: np.ndarray) -> list[PhotoLook]:
    """Return what the files of some rows show, read by as many threads as there are cores."""

    def look_at(row: int) -> PhotoLook:
        digest = b""
        try:
            content = photos.read(row)
            digest = hashlib.sha256(content).digest()
            with open_image(content) as image:
                height, width = find_upright_size(read_header(image))
                return PhotoLook(digest, height, width, is_grey(image), None)
        except Exception as error:  # a broken file may raise anything
            return PhotoLook(digest, 0, 0, False, explain_broken_photo(error))

    ranges = show_progress(iterate_row_ranges(len(rows)), len(rows), "looking at photos")
    return [
        look
        for part in ranges
        for look in get_thread_pool().map(look_at, rows[part.start : part.stop].tolist())
    ]


def count_chosen_classes(facts: PhotoFacts, chosen: SplitRows) -> PhotoFacts:
    """Return facts with the classes of the rows that are used: some may be left out, or grouped."""
    labels = np.concatenate([chosen.labels[split] for split in chosen.rows])
    counts = count_labels(labels, len(chosen.class_names)).tolist()
    return replace(facts, classes=dict(zip(chosen.class_names, counts, strict=True)))


def count_shared_doubles(facts: PhotoFacts, rows: Mapping[str, np.ndarray]) -> int:
    """Return how many photos occur in more than one of the splits that have these rows."""
    split_of = {int(row): split for split, own in rows.items() for row in own}
    return sum(
        len({split_of[row] for row in group if row in split_of}) > 1
        for group in facts.find_doubles()
    )


def describe_photos(facts: PhotoFacts) -> list[str]:
    """Return lines on what the photos are, with what is wrong with them."""
    counts = list(facts.classes.values())
    spread = (
        f"{min(counts):,} to {max(counts):,}" if min(counts) < max(counts) else f"{counts[0]:,}"
    )
    height, width = facts.size
    size = f"all {height}x{width}" if facts.has_one_size else f"{height}x{width} in the median"
    lines = [
        f"{sum(facts.parts.values()):,} photos of {len(counts)} classes, {spread} of each; "
        f"{size} (height x width), {'grey' if facts.is_grey else 'in colour'}"
    ]
    lines += facts.notes
    if facts.parts.keys() != {"train"}:
        lines.append(
            "parts of their own: " + ", ".join(f"{n:,} {part}" for part, n in facts.parts.items())
        )
    if facts.broken:
        few = ", ".join(f"{name} ({why})" for name, why in facts.broken[:3])
        more = f" and {len(facts.broken) - 3:,} more" if len(facts.broken) > 3 else ""
        lines.append(f"left out, being no images: {few}{more}")
    doubles = facts.find_doubles()
    if doubles and facts.is_complete:
        extra = sum(len(rows) - 1 for rows in doubles)
        one = facts.names[doubles[0][0]], facts.names[doubles[0][1]]
        what = f"{extra:,} files are exact doubles of others, such as"
        if extra == 1:
            what = "1 file is an exact double of another:"
        lines.append(f"{what} {one[1]} of {one[0]}")
    if not facts.is_complete:
        lines.append(
            f"looked at {len(facts.looks):,} of {facts.total:,}; doubles were not sought: "
            "cnntrain data verify finds them"
        )
    return lines
