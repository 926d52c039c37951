"""Many photos at once: what each of them is, their pixels, and which files are broken and why."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import UnidentifiedImageError

from cnntrain.datasets.jpegs import decode_all
from cnntrain.datasets.photos import (
    Frame,
    Header,
    Photos,
    Window,
    decode,
    plain_jpeg,
    random_window,
    view,
)
from cnntrain.datasets.waiting import counted
from cnntrain.errors import SpecError

AT_ONCE = 64  # photos whose files are in memory: those of a phone have 5 MB each
UNREAD = bytes(32)  # in place of the digest of a file that cannot be read
POOL = ThreadPoolExecutor(os.cpu_count())  # reading, hashing and Pillow let other threads run


@dataclass(frozen=True)
class Known:
    """What one look at all photos tells.

    `digests` (N,) are the sha256 of the files, `jpegs` the headers of those that are plain JPEGs,
    `broken` those that cannot be read or are no images: row -> why.
    """

    digests: np.ndarray
    jpegs: Sequence[Header | None]
    broken: dict[int, str]


def looked_at(photos: Photos) -> Known:
    """Read all photos once."""

    def one(row: int) -> tuple[bytes, Header | None, str | None]:
        digest = UNREAD
        try:
            content = photos.read(row)
            digest = hashlib.sha256(content).digest()
            return digest, plain_jpeg(content), None
        except Exception as error:  # a broken file may raise anything
            return digest, None, reason(error)

    parts = counted(chunked(len(photos)), len(photos), "reading photos")
    found = [known for rows in parts for known in POOL.map(one, rows)]
    digests, jpegs, reasons = zip(*found, strict=True)
    broken = {row: why for row, why in enumerate(reasons) if why is not None}
    return Known(np.array(digests, "V32"), jpegs, broken)


def decoded(
    photos: Photos, known: Known, frame: Frame
) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
    """All photos in order, some at a time, black where one is broken, and why it is.

    Raises SpecError for a file that is not as it was when it was looked at.
    """

    def content(row: int) -> bytes:
        return b"" if row in known.broken else unchanged(photos, row, known.digests[row])

    for rows in counted(chunked(len(photos)), len(photos), "decoding photos"):
        contents = list(POOL.map(content, rows))
        images, broken = pixels(contents, known.jpegs[rows.start : rows.stop], frame)
        reasons = {rows[index]: why for index, why in broken.items()}
        yield images, {row: known.broken.get(row, why) for row, why in reasons.items()}


def unchanged(photos: Photos, row: int, digest: np.void) -> bytes:
    """The file of a photo that has this digest."""
    try:
        content = photos.read(row)
    except Exception:
        content = None
    if content is None or hashlib.sha256(content).digest() != digest.tobytes():
        raise SpecError(
            f"{photos.names[row]} has changed while the photos were read",
            "files that stay as they are",
        )
    return content


def pixels(
    contents: Sequence[bytes],
    jpegs: Sequence[Header | None],
    frame: Frame,
    windows: Sequence[Window] | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Return photos as images (B, H, W, C) uint8, and index -> why for the broken ones.

    `windows` choose what is shown of each; without them `frame` does.
    """
    shown = [None] * len(contents) if windows is None else windows

    def alone(index: int) -> np.ndarray | str:
        try:
            return decode(contents[index], frame, shown[index])
        except MemoryError:
            raise
        except Exception as error:  # a broken file may raise anything
            return reason(error)

    plain = [
        (index, (contents[index], header, view(header, frame, shown[index])))
        for index, header in enumerate(jpegs)
        if header is not None
    ]
    images, broken = np.zeros((len(contents), *frame.shape), np.uint8), dict[int, str]()
    left = set(range(len(contents)))
    if plain:
        places, members = zip(*plain, strict=True)
        together, damaged = decode_all(members, frame)
        left -= set(places) - {places[index] for index in damaged}
        if len(places) == len(contents):
            images = together
        else:
            images[[*places]] = together
    for index, found in zip(sorted(left), POOL.map(alone, sorted(left)), strict=True):
        if isinstance(found, str):
            broken[index] = found
        else:
            images[index] = found
    return images, broken


@dataclass(frozen=True)
class Decoded:
    """Photos as images (N, H, W, C) uint8, decoded when asked for; `jpegs` as in `Known`."""

    photos: Photos
    jpegs: Sequence[Header | None]
    frame: Frame

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.photos), *self.frame.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.seen(rows, None)

    def seen(self, rows: np.ndarray, windows: Sequence[Window] | None) -> np.ndarray:
        """The images of rows (B,) as (B, H, W, C), through windows or as the frame has them."""
        parts = []
        for part in chunked(len(rows)):
            own = rows[part.start : part.stop].tolist()
            through = None if windows is None else windows[part.start : part.stop]
            contents = list(POOL.map(self.photos.read, own))
            images, broken = pixels(contents, [self.jpegs[row] for row in own], self.frame, through)
            if broken:
                index, why = next(iter(broken.items()))
                raise OSError(f"{self.photos.names[own[index]]} is no image any more: {why}")
            parts.append(images)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Crops(Decoded):
    """The same, with windows drawn at random where training asks for them."""

    def crops(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return self.seen(rows, [random_window(random) for _ in rows])


def reason(error: Exception) -> str:
    """Why a file could not be decoded, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "no image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or error.__class__.__name__


def chunked(count: int) -> Iterator[range]:
    for start in range(0, count, AT_ONCE):
        yield range(start, min(start + AT_ONCE, count))
