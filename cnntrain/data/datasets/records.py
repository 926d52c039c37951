"""Photos in ArrayRecord shards, as `cnntrain data prepare … --to array_record` writes them."""

from pathlib import Path

from cnntrain.data.fetch.record_files import read_records
from cnntrain.data.source import Source
from cnntrain.spec.places import find_records


def records(data_dir: Path, manual_dir: Path | None, *, folder: str) -> Source:
    """Return the photos in a folder of records.

    A relative `folder` that does not exist is looked for in `data_dir`. Raises SpecError for a
    folder that holds no finished records.
    """
    return read_records(find_records(folder, data_dir))
