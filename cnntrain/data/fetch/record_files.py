"""A folder of records: its shards, `records.npz` with what is known of each record, a manifest.

`records.json` is written last, so that a folder that has it is whole.
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.records import RecordReader
from cnntrain.data.source import Source
from cnntrain.errors import SpecError
from cnntrain.spec.places import RECORDS_MANIFEST as MANIFEST

FACTS = "records.npz"
GROUPS_PREFIX = "groups: "  # of the names of arrays in FACTS
FORMAT = 2  # of a folder that versions which know only 1 would misread: it has weights


@dataclass(frozen=True)
class Shard:
    """A file of records as the manifest has it: its name, its records and bytes, its sha256."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Records:
    """What a folder of records holds: its manifest, and facts about each record, in their order.

    `places` (N,) are those of the photos in the part that was written, `labels` (N,) int32 their
    classes, `digests` (N,) the sha256 of their files, `weights` (N,) float32 how much they count in
    training or None. `owners` (N,) are the parts, and `groups` are those of the `Source`.
    """

    manifest: dict[str, Any]
    photos: Photos
    places: np.ndarray
    labels: np.ndarray
    digests: np.ndarray
    owners: np.ndarray
    groups: dict[str, np.ndarray]
    weights: np.ndarray | None = None


def open_records(folder: Path) -> Records:
    """Return the contents of a folder of records, without reading one.

    Raises SpecError if it holds no finished records, or if a shard is missing or cut off.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] > FORMAT:
            raise ValueError("they are of a newer version of cnntrain")
        with np.load(folder / FACTS) as known:
            facts = {key: known[key] for key in ("places", "labels", "digests")}
            weights, names = known.get("weights"), unpack_texts(known["names"])
            groups = {
                key.removeprefix(GROUPS_PREFIX): np.array(unpack_texts(known[key]), object)
                for key in known.files
                if key.startswith(GROUPS_PREFIX)
            }
        shards = {part: [Shard(**own) for own in all] for part, all in manifest["parts"].items()}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise SpecError(
            f"{folder} holds no finished records: {error}",
            "a folder that was written by cnntrain data prepare … --to array_record",
        ) from error
    every = [shard for own in shards.values() for shard in own]
    for shard in every:
        check_shard(folder, shard)
    reader = RecordReader(
        [str(folder.absolute() / shard.file) for shard in every],
        np.cumsum([shard.records for shard in every]).tolist(),
    )
    sizes = [sum(shard.records for shard in own) for own in shards.values()]
    owners = np.repeat([*shards], sizes)
    photos = Photos(names, reader)
    return Records(manifest, photos, owners=owners, groups=groups, weights=weights, **facts)


def pack_texts(texts: Sequence[str]) -> np.ndarray:
    """Return texts as an array of bytes, which .npz holds without pickling; see `unpack_texts`."""
    return np.frombuffer("\0".join(texts).encode(errors="surrogateescape"), np.uint8)


def unpack_texts(packed: np.ndarray) -> list[str]:
    """Return the texts that `pack_texts` made an array of bytes of."""
    return packed.tobytes().decode(errors="surrogateescape").split("\0")


def check_shard(folder: Path, shard: Shard) -> None:
    """Raise SpecError if a shard is missing or of another size."""
    file = folder / shard.file
    size = file.stat().st_size if file.exists() else None
    if size != shard.bytes:
        raise SpecError(
            f"{file} {'is missing' if size is None else f'has {size:,} bytes'}",
            f"{shard.bytes:,} bytes, as it was written",
            "copy it again, or prepare the records anew",
        )


def read_records(folder: Path) -> Source:
    """Return the photos in a folder of records as a source, of which no file has to be read."""
    found = open_records(folder)
    return Source(
        found.photos,
        found.labels,
        tuple(found.manifest["class_names"]),
        {part: np.flatnonzero(found.owners == part) for part in found.manifest["parts"]},
        found.manifest["origin"],
        skipped=tuple(found.manifest["skipped"].items()),
        digests=found.digests,
        notes=found.manifest["notes"],
        names=found.photos.names,
        weights=found.weights,
        groups=found.groups,
    )
