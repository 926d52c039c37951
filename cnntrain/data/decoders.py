"""How many processes decode the photos of a run, and which runs start them before all else."""

import json

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
    """Start the processes that decode photos, if the run surely needs them for each batch.

    They load while this process loads TensorFlow.
    """
    count = choose_decoders(spec)
    if count > 0 and lists_photos(spec):
        get_process_pool(count)


def lists_photos(spec: Spec) -> bool:
    """Return whether it shows before the data set is loaded that its photos are only listed.

    It does where `dataset.scan` says so, of many records, and of a folder whose many names are kept
    since an earlier run. See `is_only_listed`.
    """
    if spec.dataset.name not in ("image_folder", "records") or spec.dataset["scan"] == "all":
        return False
    is_asked_for, data_dir = (
        spec.dataset["scan"] == "none",
        expand_folder(spec.data_dir, "data_dir"),
    )
    if spec.dataset.name == "records":
        manifest = find_records(spec.dataset["folder"], data_dir) / RECORDS_MANIFEST
        parts = json.loads(manifest.read_text(encoding="utf-8"))["parts"]
        records = sum(shard["records"] for shards in parts.values() for shard in shards)
        return is_asked_for or records > SCANNED_PHOTOS
    folder = find_images(spec.dataset["folder"], data_dir)
    is_known = locate_index(folder, data_dir / CACHE_FOLDER).exists()
    return folder.is_dir() and (is_asked_for or is_known)
