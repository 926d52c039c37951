"""`cnntrain data list`: what each data set holds, what it takes to download, whether it is here.

Read off the options' files and the two folders that data lies in: no TensorFlow, no network.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.spec import option_files
from cnntrain.spec.about import DatasetAbout, read_option
from cnntrain.spec.knobs import MISSING
from cnntrain.spec.spec import Spec

# What stands in a folder that is ready: of TFDS, or of an archive that was unpacked.
READY_MARKS = ("dataset_info.json", "origin.json")
HERE_WORDS = {
    "always": "always",
    "prepared": "yes",
    "archives": "archives",
    "others": "other archives",
    "no": "no",
}


@dataclass(frozen=True)
class DatasetEntry:
    """An option of the group `dataset`.

    `here` is one of these words:

    always    it needs no download
    prepared  it is ready in `path`
    archives  all its archives are in manual_dir
    others    archives of these names are in manual_dir, with other sizes
    no        it has to be downloaded
    needs     the user has to set the knobs `needs`, which say where it is
    """

    option: str
    what: str
    about: DatasetAbout
    here: str
    path: Path | None
    needs: tuple[str, ...]

    @property
    def image_count(self) -> int | None:
        """The number of images in all parts together."""
        return sum(self.about.images.values()) if self.about.images else None

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "images": self.image_count,
            "classes": self.about.num_classes,
            "bytes": self.about.bytes,
            "archives": self.about.archives,
            "here": self.here,
            "path": str(self.path) if self.path else None,
            "needs": list(self.needs),
        }


def list_datasets(
    data_dir: Path, manual_dir: Path | None, config_dir: str | None
) -> list[DatasetEntry]:
    """Return an entry for every option of the group `dataset`, in the order of their names."""
    files = option_files.find_option_files("dataset", config_dir)
    return [
        read_dataset_entry(option, file, data_dir, manual_dir) for option, file in files.items()
    ]


def read_dataset_entry(
    option: str, file: Path, data_dir: Path, manual_dir: Path | None
) -> DatasetEntry:
    try:
        knobs, about = read_option(file, DatasetAbout)
    except SpecError:  # it is answered when it is used
        knobs, about = {}, DatasetAbout()
    needs = tuple(knob for knob, value in knobs.items() if value == MISSING)
    path = None if needs else find_prepared_folder(option, knobs, data_dir)
    if needs:
        here = "needs"
    elif path:
        here = "prepared"
    elif about.bytes == 0:
        here = "always"
    else:
        here = classify_manual_archives(about, manual_dir)
    return DatasetEntry(option, option_files.read_summary(file), about, here, path, needs)


def is_dataset_here(asked: Spec) -> bool:
    """Return whether the data of a spec can be loaded without a download, judging by folders."""
    data_dir, name = expand_folder(asked.data_dir, "data_dir"), asked.dataset.name
    knobs = {"name": name, **asked.dataset.knobs}
    if find_prepared_folder(name, knobs, data_dir):
        return True
    manual_dir = expand_folder(asked.manual_dir, "manual_dir") if asked.manual_dir else None
    for file in option_files.find_option_files("dataset").values():
        own, about = read_option(file, DatasetAbout)
        same = own["name"] == name and own.get("tfds") == knobs.get("tfds")
        if same and about.bytes is not None:
            return not about.bytes or classify_manual_archives(about, manual_dir) != "no"
    return name != "tfds"


def classify_manual_archives(about: DatasetAbout, manual_dir: Path | None) -> str:
    """Return `archives` if manual_dir has all of them with their published sizes, else `no`.

    Returns `others` if only the names match: MNIST and Fashion-MNIST share them.
    """
    if not about.archives or not manual_dir:
        return "no"
    found = [sorted(manual_dir.glob(name)) for name in about.archives]
    if not all(found):
        return "no"
    return (
        "archives" if sum(files[0].stat().st_size for files in found) == about.bytes else "others"
    )


def find_prepared_folder(option: str, knobs: Mapping[str, Any], data_dir: Path) -> Path | None:
    """Return the folder in data_dir in which a data set lies ready, or None.

    Of TFDS it is the one of the newest version, whatever its config; of several unpacked archives
    it is any.
    """
    for name in (knobs.get("tfds"), knobs.get("name"), option):
        known = re.split("[:/]", str(name or option))[0]
        places = [f"{known}{deep}/{mark}" for deep in ("/*", "/*/*") for mark in READY_MARKS]
        found = [file.parent for place in places for file in data_dir.glob(place)]
        if ready := [path for path in found if "incomplete" not in path.name]:
            return max(ready, key=parse_version)
    return None


def parse_version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.name)]
