"""How many processes decode the photos of a run, and which runs start them before all else."""

import json
from pathlib import Path

from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.data.photos.decoding_processes import get_process_pool, set_decoding_processes
from cnntrain.data.photos.photo_index import SCANNED_PHOTOS, locate_index
from cnntrain.files.paths import expand_folder
from cnntrain.spec.places import RECORDS_MANIFEST, find_images, find_records
from cnntrain.spec.spec import Spec


def choose_decoders(spec: Spec) -> int:
    """Set how many processes decode photos, and return it.

    It is one a core, or as many as the run has threads: jobs that share a machine have a thread or
    two each.
    """
    return set_decoding_processes(
        spec.threads if spec.decoders == "auto" and spec.threads else spec.decoders
    )


def start_decoders(spec: Spec) -> None:
    """Start the processes that decode photos, if the spec says that each batch will need them.

    They load while this process loads TensorFlow. A run that finds out later starts them then.
    """
    count = choose_decoders(spec)
    if count > 0 and needs_decoders(spec):
        get_process_pool(count)


def needs_decoders(spec: Spec) -> bool:
    """Return whether photos will be decoded for each batch, as far as a spec shows it.

    It does by its settings, by many records, and by a folder with an index: its names are kept
    because they are many. See `is_only_listed` and `cache_photos`.
    """
    knobs, data_dir = spec.dataset, expand_folder(spec.data_dir, "data_dir")
    if knobs.name not in ("image_folder", "records"):
        return False
    each_time = (
        knobs["scan"] == "none" or knobs["cache"] == "none" or knobs["resize"] == "random_crop"
    )
    if knobs.name == "records":
        records = count_records(find_records(knobs["folder"], data_dir))
        return each_time or (knobs["scan"] == "auto" and records > SCANNED_PHOTOS)
    folder = find_images(knobs["folder"], data_dir)
    is_known = locate_index(folder, data_dir / CACHE_FOLDER).exists()
    return folder.is_dir() and (each_time or (knobs["scan"] == "auto" and is_known))


def count_records(folder: Path) -> int:
    """Return how many records a folder holds by its manifest; 0 if it is damaged.

    Whoever loads the records explains why.
    """
    try:
        parts = json.loads((folder / RECORDS_MANIFEST).read_text(encoding="utf-8"))["parts"]
        return sum(shard["records"] for shards in parts.values() for shard in shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0
