"""Photos of TFDS that do not fit in memory: copied into records once, and read by their number.

TFDS' own files are read from front to back, so that a shuffled order would need all in memory.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as library

from cnntrain.data.fetch.record_files import MANIFEST, open_records
from cnntrain.data.fetch.record_writing import ShardPlan, divide_part, write_records
from cnntrain.data.fetch.tfds_examples import iterate_examples
from cnntrain.data.fetch.tfds_slices import Piece
from cnntrain.data.photos.decode import get_thread_pool
from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.records import RecordReader
from cnntrain.data.source import Source

RECORDS = "cnntrain_records"  # how the folder beside TFDS' own files begins


@dataclass(frozen=True)
class PhotoKeys:
    """The features of an example that are its image, its label and the name of its file."""

    image: str
    label: str
    name: str | None


@dataclass(frozen=True)
class TfdsPiece:
    """Consecutive examples of a split of a data set that TFDS has prepared in `folder`."""

    folder: str
    split: str
    places: range
    keys: PhotoKeys

    def __len__(self) -> int:
        return len(self.places)

    def stamp(self) -> str:
        described = Path(self.folder, "dataset_info.json").read_bytes()
        return hashlib.sha256(described + repr(self).encode()).hexdigest()

    def iterate(self) -> Iterator[tuple[str, int, bytes | str]]:
        builder = library.builder_from_directory(self.folder)
        count = builder.info.splits[self.split].num_examples
        piece = Piece(self.split, self.places, count)
        keys, place = self.keys, self.places.start
        wanted = [keys.image, keys.label, *([keys.name] if keys.name else [])]
        for batch in iterate_examples(builder, piece, wanted, decoded=(), count=64):
            for n, label in enumerate(batch[keys.label]):
                name = batch[keys.name][n].decode() if keys.name else f"{self.split}[{place}]"
                yield name, int(label), batch[keys.image][n]
                place += 1


def read_recorded_photos(
    builder: Any, parts: Collection[list[Piece]], keys: PhotoKeys, class_names: Sequence[str]
) -> tuple[Source, list[int]]:
    """Return the photos of all parts, one after the other, and the size of each part.

    They are copied into records beside TFDS' files first, if they have not been. Within a part they
    are sorted by the names of their files, if they have some, and else in TFDS' order.
    """
    title = "_".join([RECORDS, keys.image, keys.label]).replace("/", "-")
    folder = Path(builder.data_dir) / title  # other features make other records
    if not (folder / MANIFEST).exists():
        print(
            f"The photos of {builder.name} do not fit in memory: they go into records in {folder}"
        )
        splits = builder.info.splits  # all: another run may use others
        plans = [plan for split in splits for plan in plan_split(builder, split, keys)]
        about = {"origin": "official", "notes": []}
        write_records(folder, builder.name, plans, get_thread_pool(), about, class_names)
    found = open_records(folder)
    names, orders = found.photos.names, list[list[int]]()
    for pieces in parts:
        own = [
            np.flatnonzero(
                (found.owners == piece.split)
                & (found.places >= piece.rows.start)
                & (found.places < piece.rows.stop)
            )
            for piece in pieces
        ]
        rows = np.concatenate(own).tolist()
        orders.append(sorted(rows, key=names.__getitem__) if keys.name else rows)
    order = [row for rows in orders for row in rows]
    read = found.photos.read
    assert isinstance(read, RecordReader)
    photos = Photos([names[row] for row in order], replace(read, order=order))
    source = Source(
        photos, found.labels[order], tuple(class_names), {},
        skipped=tuple(found.manifest["skipped"].items()), digests=found.digests[order],
        names=photos.names,
    )  # fmt: skip
    return source, [*map(len, orders)]


def plan_split(builder: Any, split: str, keys: PhotoKeys) -> Iterator[ShardPlan]:
    """Yield the shards that a split of TFDS becomes."""
    info = builder.info.splits[split]
    mean = info.num_bytes / max(info.num_examples, 1)
    for file, places in divide_part(builder.name, split, info.num_examples, mean):
        piece = TfdsPiece(str(builder.data_dir), split, places, keys)
        yield ShardPlan(split, file, places.start, piece)
