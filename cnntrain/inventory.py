"""`cnntrain data list`: what each data set holds, what it takes to download, whether it is here.

Read off the options' files and the two folders that data lies in: no TensorFlow, no network.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from cnntrain.caches import CACHE, clean, counted, in_words, list_caches
from cnntrain.errors import SpecError
from cnntrain.files.paths import folder
from cnntrain.spec import option_files
from cnntrain.spec.build import spec
from cnntrain.spec.compose import compose
from cnntrain.spec.knobs import MISSING
from cnntrain.spec.option_files import REFERENCE
from cnntrain.spec.places import check_places
from cnntrain.spec.spec import Spec
from cnntrain.terminal.tables import NONE, say, short, terminal

HOLDS = re.compile(
    r"# Holds (?P<images>[\d,]+) images of (?P<classes>\d+) classes; (?P<bytes>[\d,]+) bytes"
    r"(: (?P<archives>\S.*))?"
)
# What stands in a folder that is ready: of TFDS, or of an archive that was unpacked.
READY = ("dataset_info.json", "origin.json")
HERE = {
    "always": "always",
    "prepared": "yes",
    "archives": "archives",
    "others": "other archives",
    "no": "no",
}


@dataclass(frozen=True)
class Holds:
    """What a data set holds, the bytes to download for it, and its archives, by name or pattern."""

    images: int
    classes: int
    bytes: int
    archives: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """An option of the group `dataset`; `holds` is None where its file does not say.

    `here` is `always` (it needs no download), `prepared` (in `path`), `archives` (all of them are
    in manual_dir; `others`: with other sizes), `no`, or `needs` (the knobs `needs` say where).
    """

    option: str
    what: str
    holds: Holds | None
    here: str
    path: Path | None
    needs: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        holds = asdict(self.holds) if self.holds else dict.fromkeys(Holds.__annotations__)
        return {
            "what": self.what,
            **holds,
            "here": self.here,
            "path": str(self.path) if self.path else None,
            "needs": list(self.needs),
        }


def inventory(data_dir: Path, manual_dir: Path | None, config_dir: str | None) -> list[Entry]:
    """Every option of the group `dataset`, in the order of their names."""
    files = option_files.options("dataset", config_dir)
    return [entry(option, file, data_dir, manual_dir) for option, file in files.items()]


def entry(option: str, file: Path, data_dir: Path, manual_dir: Path | None) -> Entry:
    try:
        knobs = option_files.load(file)
    except SpecError:  # it is answered when it is used
        knobs = {}
    holds = held(file)
    needs = tuple(knob for knob, value in knobs.items() if value == MISSING)
    path = None if needs else prepared(option, knobs, data_dir)
    if needs:
        here = "needs"
    elif path:
        here = "prepared"
    elif holds and not holds.bytes:
        here = "always"
    else:
        here = lying(holds, manual_dir)
    return Entry(option, option_files.summary(file), holds, here, path, needs)


def is_here(asked: Spec) -> bool:
    """Whether the data of a spec can be loaded without a download, as far as folders tell."""
    data_dir, name = folder(asked.data_dir, "data_dir"), asked.dataset.name
    knobs = {"name": name, **asked.dataset.knobs}
    if prepared(name, knobs, data_dir):
        return True
    manual_dir = folder(asked.manual_dir, "manual_dir") if asked.manual_dir else None
    for file in option_files.options("dataset").values():
        own, holds = option_files.load(file), held(file)
        if own["name"] == name and own.get("tfds") == knobs.get("tfds") and holds:
            return not holds.bytes or lying(holds, manual_dir) != "no"
    return name != "tfds"


def lying(holds: Holds | None, manual_dir: Path | None) -> str:
    """Whether the archives are in manual_dir: their names alone do not tell MNIST from Fashion."""
    if not holds or not holds.archives or not manual_dir:
        return "no"
    found = [sorted(manual_dir.glob(name)) for name in holds.archives]
    if not all(found):
        return "no"
    return (
        "archives" if sum(files[0].stat().st_size for files in found) == holds.bytes else "others"
    )


def held(file: Path) -> Holds | None:
    """What the second line of an option's file says, or None where it does not."""
    lines = [*file.read_text(encoding="utf-8", errors="replace").splitlines(), "", ""]
    if (found := HOLDS.fullmatch(lines[1])) is None:
        return None
    images, classes, size = (
        int(found[part].replace(",", "")) for part in ("images", "classes", "bytes")
    )
    return Holds(images, classes, size, tuple((found["archives"] or "").split()))


def prepared(option: str, knobs: Mapping[str, Any], data_dir: Path) -> Path | None:
    """The folder in data_dir that a data set lies in, ready; that of the newest version."""
    for name in (knobs.get("tfds"), knobs.get("name"), option):
        known = re.split("[:/]", str(name or option))[0]
        places = [f"{known}{deep}/{mark}" for deep in ("/*", "/*/*") for mark in READY]
        found = [file.parent for place in places for file in data_dir.glob(place)]
        if ready := [path for path in found if "incomplete" not in path.name]:
            return max(ready, key=version)
    return None


def version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.name)]


def list_sets(overrides: Sequence[str], config_dir: str | None, as_json: bool) -> None:
    """Print every data set, what it holds, and whether it is where `overrides` have the data."""
    asked = spec(compose(overrides, config_dir).config)
    check_places(asked.config)
    manual_dir = folder(asked.manual_dir, "manual_dir") if asked.manual_dir else None
    data_dir = folder(asked.data_dir, "data_dir")
    entries, decoded = inventory(data_dir, manual_dir, config_dir), list_caches(data_dir)
    if as_json:
        photos = {"path": str(data_dir / CACHE), **counted(decoded)}
        listed = {"dataset": {e.option: e.as_json() for e in entries}, "decoded": photos}
        print(json.dumps(listed, indent=2))
        return
    console, width = terminal(), max(len(known.option) for known in entries)
    head = line(width, "option", "images", "classes", "download", "here", "what it is")
    say(console, Text(head, style="bold"))
    for known in entries:
        say(console, Text(line(width, known.option, *cells(known))))
    looked = f"data_dir={asked.data_dir} and, archives, in manual_dir={asked.manual_dir or 'null'}"
    foot = f"\nLooked for in {looked};\ncnntrain data prepare OPTION makes one ready."
    if decoded:
        foot += f"\n{in_words(decoded)} in {data_dir / CACHE}; cnntrain data clean removes them."
    console.print(Text(foot), soft_wrap=True, highlight=False)


def clean_caches(
    overrides: Sequence[str], config_dir: str | None, keep: int, as_json: bool
) -> None:
    """Remove decoded photos from data_dir, and say what is gone and what is left."""
    asked = spec(compose(overrides, config_dir).config)
    check_places(asked.config)
    removed, kept, busy = clean(folder(asked.data_dir, "data_dir"), keep)
    if as_json:
        groups = {"removed": removed, "kept": kept, "in_use": busy}
        print(json.dumps({name: counted(group) for name, group in groups.items()}, indent=2))
        return
    used = f" ({len(busy)} in use)" if busy else ""
    print(f"Removed {in_words(removed)}; kept {in_words(kept)}{used}")


def line(width: int, option: str, *cells: str) -> str:
    images, classes, size, here, what = cells
    return f"{option:<{width}}  {images:>7}  {classes:>7}  {size:>8}  {here:<14}  {what}".rstrip()


def cells(known: Entry) -> tuple[str, ...]:
    here = f"needs {', '.join(known.needs)}" if known.needs else HERE[known.here]
    what = REFERENCE.sub("", known.what)
    if known.holds is None:
        return NONE, NONE, NONE, here, what
    size = f"{short(known.holds.bytes)}B" if known.holds.bytes else NONE
    return f"{known.holds.images:,}", f"{known.holds.classes:,}", size, here, what
