"""Write encoded photos into ArrayRecord shards, several at once.

Beside each shard goes a file with what is known of its records. Shards that an interrupted call has
finished are kept by the next one; when all are there, `record_files.py` has them as one folder.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from cnntrain.data.fetch.record_files import (
    FACTS,
    FORMAT,
    GROUPS_PREFIX,
    MANIFEST,
    Shard,
    pack_texts,
)
from cnntrain.data.listing import pick_spread_photos
from cnntrain.data.photos.decode import try_to_decode, try_to_read
from cnntrain.data.photos.decoding_processes import answer_killed_process, find_pool
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.photos.records import (
    IMAGE,
    LABEL,
    NAME,
    format_record,
    import_array_record,
)
from cnntrain.data.source import Source
from cnntrain.errors import SpecError
from cnntrain.files.locks import hold_folder
from cnntrain.files.writing import clear_unfinished, replace_by_path, write_whole
from cnntrain.terminal.progress import show_progress

SHARD_BYTES = 2**27  # of photos in a shard, about
# Kind of group -> part -> the group of each photo of the part (n,), as in `Source.groups`.
PartGroups = Mapping[str, Mapping[str, np.ndarray]]
PROBE = Frame((8, 8), 3, "stretch", None)  # what photos are decoded into to find broken ones


class Piece(Protocol):
    """Some photos in their order, which become a shard. Another process may write it."""

    def __len__(self) -> int: ...

    def stamp(self) -> str:
        """Return a digest that changes with the photos, without reading them."""
        ...

    def iterate(self) -> Iterator[tuple[str, int, bytes | str]]:
        """Yield the name, class and contents of each, or as text why it can never be read."""
        ...


class ShardPlan(NamedTuple):
    """A `piece` of a part, from the place `first` on, and the `file` that it becomes."""

    part: str
    file: str
    first: int
    piece: Piece


@dataclass(frozen=True)
class PhotoPiece:
    """Photos that are read one by one, with their classes (n,)."""

    photos: Photos
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.photos)

    def stamp(self) -> str:
        files = self.photos.read if isinstance(self.photos.read, FileReader) else None
        looks = [files.look(row) for row in range(len(self))] if files else []
        text = json.dumps([list(self.photos.names), self.labels.tolist(), looks])
        return hashlib.sha256(text.encode()).hexdigest()

    def iterate(self) -> Iterator[tuple[str, int, bytes | str]]:
        for row, name in enumerate(self.photos.names):
            yield name, int(self.labels[row]), try_to_read(self.photos.read, row)


def write_source(source: Source, folder: Path, name: str) -> None:
    """Write the photos of a source, all but the broken ones, into a folder of records.

    Raises SpecError for a full disk, for a folder that holds anything else, and while another
    process writes.
    """
    photos = source.images
    assert isinstance(photos, Photos)
    if source.labels.ndim == 2:
        raise SpecError(
            "the images may have several labels, and records have one label an image",
            "the photos themselves, for which no records are needed",
        )
    some = pick_spread_photos(photos)
    contents = [try_to_read(some.read, row) for row in range(len(some))]
    mean = sum(len(own) for own in contents if isinstance(own, bytes)) / len(some)
    plans = []
    for part, rows in source.parts.items():
        for file, places in divide_part(name, part, len(rows), mean):
            own = rows[places.start : places.stop]
            piece = PhotoPiece(photos.pick(own.tolist()), source.labels[own])
            plans.append(ShardPlan(part, file, places.start, piece))
    write_records(
        folder, name, plans, find_pool(photos)[0],
        {"origin": source.origin, "notes": list(source.notes)}, source.class_names,
        {kind: {part: names[rows] for part, rows in source.parts.items()}
         for kind, names in source.groups.items()},
        None if source.weights is None else {
            part: source.weights[rows] for part, rows in source.parts.items()
        },
    )  # fmt: skip


def divide_part(name: str, part: str, count: int, mean: float) -> Iterator[tuple[str, range]]:
    """Yield the file of each shard of a part of `count` photos of `mean` bytes, and its places.

    The files have the names that TFDS expects.
    """
    shards = max(1, round(count * mean / SHARD_BYTES))
    ends = [count * n // shards for n in range(shards + 1)]
    for n in range(shards):
        yield f"{name}-{part}.array_record-{n:05}-of-{shards:05}", range(ends[n], ends[n + 1])


def write_records(
    folder: Path,
    name: str,
    plans: Sequence[ShardPlan],
    pool: Executor,
    about: Mapping[str, Any],
    class_names: Sequence[str],
    groups: PartGroups | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write all shards in a pool of threads or processes, and then what makes a folder of them.

    `about` is what else the manifest has, `groups` the groups of the photos, and `weights` those of
    the photos of each part, if any.
    """
    make_folder(folder)
    with hold_folder(folder, f"the records of {name}"):
        if (folder / MANIFEST).exists():  # another process was faster
            return
        check_folder(folder, plans)
        clear_unfinished(folder)  # nobody else writes there: the lock is ours
        jobs, count = list[Future[range]](), sum(len(plan.piece) for plan in plans)
        try:
            with answer_killed_process():
                jobs += [pool.submit(write_shard, plan.piece, folder / plan.file) for plan in plans]
                written = (job.result() for job in as_completed(jobs))
                for _ in show_progress(written, count, "writing records"):
                    pass
            finish_records(folder, name, plans, about, class_names, groups or {}, weights)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise SpecError(
                f"the records cannot be written to {folder}: {where}{error.strerror or error}",
                "room on the disk, and photos that stay where they are; what is written stays, and "
                "the next call goes on from there",
            ) from error
        finally:
            for job in jobs:
                job.cancel()


def make_folder(folder: Path) -> None:
    """Make a folder if there is none; raise SpecError if that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(
            f"the records cannot be written to {folder}: {error.strerror}",
            "a folder that you may write to",
        ) from error


def check_folder(folder: Path, plans: Sequence[ShardPlan]) -> None:
    """Raise SpecError if a folder holds anything but an unfinished part of these records."""
    planned = {plan.file for plan in plans}
    for file in folder.iterdir():
        if file.name.removesuffix(".npz") not in planned and not file.name.startswith("."):
            raise SpecError(
                f"{folder} has {file.name} in it, which does not belong to these records",
                "an empty folder, or one in which the same records were begun",
                "--output /another/folder",
            )


def write_shard(piece: Piece, file: Path) -> range:
    """Write the photos of a piece that are whole to a shard, and beside it what is known of them.

    Nothing is done if an earlier process has written both, of the same photos. Returns the range of
    the piece.
    """
    stamp, facts = piece.stamp(), file.with_name(f"{file.name}.npz")
    if file.exists() and read_stamp(facts) == stamp:
        return range(len(piece))
    kept, names, labels, digests, broken = [], [], [], [], dict[str, str]()
    with replace_by_path(file) as path:
        writer = import_array_record().ArrayRecordWriter(str(path), "group_size:1")
        for place, (name, label, content) in enumerate(piece.iterate()):
            photo = content if isinstance(content, str) else try_to_decode(content, PROBE)
            if isinstance(photo, str):
                broken[name] = photo
                continue
            assert isinstance(content, bytes)
            writer.write(format_record(content, label, name))
            kept.append(place)
            names.append(name)
            labels.append(label)
            digests.append(hashlib.sha256(content).digest())
        writer.close()
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with replace_by_path(facts) as path:
        np.savez(
            path, stamp=stamp, places=np.array(kept, np.int64), labels=np.array(labels, np.int32),
            digests=np.array(digests, "V32"), names=json.dumps(names), broken=json.dumps(broken),
            sha256=sha256,
        )  # fmt: skip
    return range(len(piece))


def read_stamp(facts: Path) -> str | None:
    try:
        with np.load(facts) as known:
            return str(known["stamp"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def finish_records(
    folder: Path,
    name: str,
    plans: Sequence[ShardPlan],
    about: Mapping[str, Any],
    class_names: Sequence[str],
    groups: PartGroups,
    weights: Mapping[str, np.ndarray] | None,
) -> None:
    """Write what is known of all shards together, and remove what was written beside each."""
    shards: dict[str, list[Shard]] = {}
    members: dict[str, list[str]] = {kind: [] for kind in groups}
    arrays: dict[str, list[np.ndarray]] = {"places": [], "labels": [], "digests": []}
    names, broken = list[str](), dict[str, str]()
    for plan in plans:
        with np.load(folder / f"{plan.file}.npz") as known:
            size, count = (folder / plan.file).stat().st_size, len(known["labels"])
            shard = Shard(plan.file, count, size, str(known["sha256"]))
            shards.setdefault(plan.part, []).append(shard)
            arrays["places"].append(plan.first + known["places"])
            arrays["labels"].append(known["labels"])
            arrays["digests"].append(known["digests"])
            if weights is not None:
                own = weights[plan.part][arrays["places"][-1]]
                arrays.setdefault("weights", []).append(own)
            for kind, parts in groups.items():
                own = parts[plan.part][plan.first + known["places"]]
                members[kind] += map(str, own)
            names += json.loads(str(known["names"]))
            broken |= json.loads(str(known["broken"]))
    texts = {"names": names} | {GROUPS_PREFIX + kind: own for kind, own in members.items()}
    with replace_by_path(folder / FACTS) as path:
        together = {key: np.concatenate(values) for key, values in arrays.items()}
        together |= {key: pack_texts(own) for key, own in texts.items()}
        np.savez(path, **together)  # type: ignore[arg-type]
    describe_for_tfds(folder, name, class_names, shards)
    version = 1 if weights is None else FORMAT
    manifest = {"format": version, "name": name, "class_names": list(class_names), **about}
    manifest["skipped"] = broken
    manifest["parts"] = {part: [asdict(shard) for shard in own] for part, own in shards.items()}
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1))
    for plan in plans:
        (folder / f"{plan.file}.npz").unlink(missing_ok=True)


def describe_for_tfds(
    folder: Path, name: str, class_names: Sequence[str], shards: Mapping[str, Sequence[Shard]]
) -> None:
    """Write TFDS' description of the records: `tfds.builder_from_directory` opens them."""
    import tensorflow_datasets as library

    features = {
        IMAGE: library.features.Image(),
        LABEL: library.features.ClassLabel(names=list(class_names)),
        NAME: library.features.Text(),
    }
    template = library.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=name, filetype_suffix="array_record"
    )
    infos = [
        library.core.SplitInfo(
            name=part,
            shard_lengths=[shard.records for shard in own],
            num_bytes=sum(shard.bytes for shard in own),
            filename_template=template.replace(split=part),
        )
        for part, own in shards.items()
    ]
    library.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=infos, version="1.0.0",
        filename_template=template, check_data=False,
    )  # fmt: skip
