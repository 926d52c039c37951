"""`cnntrain data list`: what each data set holds, what it takes to download, whether it is here.

Read off the options' files and the two folders that data lies in: no TensorFlow, no network.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.spec import option_files
from cnntrain.spec.knobs import MISSING
from cnntrain.spec.spec import Spec

CONTENTS_LINE = re.compile(
    r"# Holds (?P<images>[\d,]+) images of (?P<classes>\d+) classes; (?P<bytes>[\d,]+) bytes"
    r"(: (?P<archives>\S.*))?"
)
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
class DatasetContents:
    """What a data set holds, the bytes to download for it, and its archives, by name or pattern."""

    images: int
    classes: int
    bytes: int
    archives: tuple[str, ...]


@dataclass(frozen=True)
class DatasetEntry:
    """An option of the group `dataset`; `holds` is None where its file does not say.

    `here` is `always` (it needs no download), `prepared` (in `path`), `archives` (all of them are
    in manual_dir; `others`: with other sizes), `no`, or `needs` (the knobs `needs` say where).
    """

    option: str
    what: str
    contents: DatasetContents | None
    here: str
    path: Path | None
    needs: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        holds = (
            asdict(self.contents)
            if self.contents
            else dict.fromkeys(DatasetContents.__annotations__)
        )
        return {
            "what": self.what,
            **holds,
            "here": self.here,
            "path": str(self.path) if self.path else None,
            "needs": list(self.needs),
        }


def list_datasets(
    data_dir: Path, manual_dir: Path | None, config_dir: str | None
) -> list[DatasetEntry]:
    """Every option of the group `dataset`, in the order of their names."""
    files = option_files.find_option_files("dataset", config_dir)
    return [
        read_dataset_entry(option, file, data_dir, manual_dir) for option, file in files.items()
    ]


def read_dataset_entry(
    option: str, file: Path, data_dir: Path, manual_dir: Path | None
) -> DatasetEntry:
    try:
        knobs = option_files.load_option(file)
    except SpecError:  # it is answered when it is used
        knobs = {}
    holds = read_contents(file)
    needs = tuple(knob for knob, value in knobs.items() if value == MISSING)
    path = None if needs else find_prepared_folder(option, knobs, data_dir)
    if needs:
        here = "needs"
    elif path:
        here = "prepared"
    elif holds and not holds.bytes:
        here = "always"
    else:
        here = classify_manual_archives(holds, manual_dir)
    return DatasetEntry(option, option_files.read_summary(file), holds, here, path, needs)


def is_dataset_here(asked: Spec) -> bool:
    """Whether the data of a spec can be loaded without a download, as far as folders tell."""
    data_dir, name = expand_folder(asked.data_dir, "data_dir"), asked.dataset.name
    knobs = {"name": name, **asked.dataset.knobs}
    if find_prepared_folder(name, knobs, data_dir):
        return True
    manual_dir = expand_folder(asked.manual_dir, "manual_dir") if asked.manual_dir else None
    for file in option_files.find_option_files("dataset").values():
        own, holds = option_files.load_option(file), read_contents(file)
        if own["name"] == name and own.get("tfds") == knobs.get("tfds") and holds:
            return not holds.bytes or classify_manual_archives(holds, manual_dir) != "no"
    return name != "tfds"


def classify_manual_archives(holds: DatasetContents | None, manual_dir: Path | None) -> str:
    """Whether the archives are in manual_dir: their names alone do not tell MNIST from Fashion."""
    if not holds or not holds.archives or not manual_dir:
        return "no"
    found = [sorted(manual_dir.glob(name)) for name in holds.archives]
    if not all(found):
        return "no"
    return (
        "archives" if sum(files[0].stat().st_size for files in found) == holds.bytes else "others"
    )


def read_contents(file: Path) -> DatasetContents | None:
    """What the second line of an option's file says, or None where it does not."""
    lines = [*file.read_text(encoding="utf-8", errors="replace").splitlines(), "", ""]
    if (found := CONTENTS_LINE.fullmatch(lines[1])) is None:
        return None
    images, classes, size = (
        int(found[part].replace(",", "")) for part in ("images", "classes", "bytes")
    )
    return DatasetContents(images, classes, size, tuple((found["archives"] or "").split()))


def find_prepared_folder(option: str, knobs: Mapping[str, Any], data_dir: Path) -> Path | None:
    """The folder in data_dir that a data set lies in, ready; that of the newest version."""
    for name in (knobs.get("tfds"), knobs.get("name"), option):
        known = re.split("[:/]", str(name or option))[0]
        places = [f"{known}{deep}/{mark}" for deep in ("/*", "/*/*") for mark in READY_MARKS]
        found = [file.parent for place in places for file in data_dir.glob(place)]
        if ready := [path for path in found if "incomplete" not in path.name]:
            return max(ready, key=parse_version)
    return None


def parse_version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.name)]
