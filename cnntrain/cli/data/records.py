"""`cnntrain data prepare NAME --to array_record`: the photos of a data set written into records."""

import re
from pathlib import Path

from cnntrain.data.load import load_source
from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.spec.spec import Spec


def write_dataset_records(spec: Spec, output: str | None) -> Path:
    """Write the photos of a spec's data set into records, and return their folder.

    It is `output`, or else a folder in data_dir. Raises SpecError if it holds records already, and
    for a data set without photos.
    """
    knobs = spec.dataset.knobs
    path = knobs.get("table") or knobs.get("folder") or spec.dataset.name
    known = knobs.get("tfds") or Path(str(path)).absolute().stem
    title = re.sub(r"[^a-z0-9]+", "_", str(known).lower()).strip("_") or "photos"
    home = expand_folder(spec.data_dir, "data_dir")
    folder = Path(output) if output else home / f"{title}_records"

    from cnntrain.data.fetch.record_files import MANIFEST
    from cnntrain.data.fetch.record_writing import write_source
    from cnntrain.data.photos.photo import Photos

    if (folder / MANIFEST).exists():
        raise SpecError(
            f"{folder} holds records already",
            "a folder without them: --output /another/folder",
            f"cnntrain dataset=records dataset.folder={folder}",
        )
    source = load_source(spec)
    if not isinstance(source.images, Photos):
        raise SpecError(
            f"the images of {spec.dataset.name} are small ones in an array, which is in memory "
            "before the first step",
            "photos in files, in a zip or in a data set of TFDS",
        )
    write_source(source, folder, title)
    return folder
