"""Photos in shards of ArrayRecord files, each read by its number.

A record is a `tf.train.Example` as TFDS writes it, so that TFDS can read the same files.
"""

import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnntrain.errors import SpecError

IMAGE, LABEL, NAME = "image", "label", "name"  # the features of a record
_local = threading.local()


@dataclass(frozen=True)
class PlacedRecords:
    """Records by their file and their place in it; it can be sent to another process."""

    places: Sequence[tuple[str, int]]

    def __call__(self, row: int) -> bytes:
        file, place = self.places[row]
        return parse_image(open_shard(file).read([place])[0])


@dataclass(frozen=True)
class RecordReader:
    """Records of some files; `ends` has how many records end with each file.

    Row n is the record `order[n]`; without an order all records are rows.
    """

    files: Sequence[str]
    ends: Sequence[int]
    order: Sequence[int] | None = None

    def __call__(self, row: int) -> bytes:
        return self.pick([row])(0)

    def pick(self, rows: Sequence[int]) -> PlacedRecords:
        """Return a reader of these rows only, which are counted from 0."""
        numbers = rows if self.order is None else [self.order[row] for row in rows]
        shards, starts = [bisect_right(self.ends, number) for number in numbers], [0, *self.ends]
        return PlacedRecords(
            [(self.files[n], number - starts[n]) for n, number in zip(shards, numbers, strict=True)]
        )


def import_array_record() -> Any:
    """Return the module that reads and writes shards; raise SpecError where it is not installed."""
    try:
        from array_record.python import array_record_module
    except ImportError:
        raise SpecError(
            "the package array-record is not installed",
            "a system for which it is published, such as Linux and macOS, but not Windows",
            "pip install array-record",
        ) from None
    return array_record_module


def open_shard(file: str) -> Any:
    """Return the reader of a file, which this thread keeps open."""
    readers = _local.__dict__.setdefault("readers", {})
    if file not in readers:
        # Read records one by one, none ahead.
        options = "readahead_buffer_size:0,max_parallelism:0"
        reader = import_array_record().ArrayRecordReader
        readers[file] = reader(file, options=options, file_reader_buffer_size=32768)
    return readers[file]


def parse_image(record: bytes) -> bytes:
    """Return the encoded image in a record."""
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example.FromString(record)
    return example.features.feature[IMAGE].bytes_list.value[0]


def format_record(image: bytes, label: int, name: str) -> bytes:
    """Return a record of an encoded image, its class and its name."""
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example()
    example.features.feature[IMAGE].bytes_list.value.append(image)
    example.features.feature[LABEL].int64_list.value.append(label)
    example.features.feature[NAME].bytes_list.value.append(name.encode())
    return example.SerializeToString()
