"""List function names that say too little: `python scripts/names.py` (part of `make lint`).

A function is a verb with its object (docs/design.md, Names). Listed are functions and methods
whose name is a bare participle (`found`, `told`), functions of one word, and names that stand in
more than two modules, where neither a search nor a traceback says which is meant. Exit code 1 if
any is left.
"""

import ast
import collections
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "cnntrain"
# Components bear the names that options have; in models and operations a function is the layer, or
# the operation, of its name, as in keras.layers.
NAMED_BY_OPTIONS = (
    *("models/", "data/datasets/", "data/augmentations/", "training/optimizers.py"),
    *("training/schedules.py", "training/initializers.py", "training/finetune.py"),
    *("running/trackers.py", "training/devices/distribution.py"),
)
# Names that may stand anywhere: what opens a verb, and what most networks are built of.
REPEATED = ("main", "draw", "on_device", "block", "conv", "norm", "none")
# The functions of the Python API, which are read as `cnntrain.train`.
PUBLIC = ("compare", "load", "sweep", "train")
PARTICIPLE = re.compile(
    r"[a-z]+ed|beg[au]n|bound|built|caught|chosen|cut|done|drawn|fell|found|given|gone|held|kept|known"
    r"|laid|left|lost|made|meant|met|put|read|said|seen|sent|shown|shrunk|split|stood|taken|thrown|told"
    r"|understood|written"
)
# Participles that are nouns of the field, or verbs.
FINE = ("speed", "seed", "feed", "need", "embed", "read", "put", "split", "cut", "mirrored")


def functions() -> list[tuple[Path, str, bool]]:
    """Return every function and method of the package: file, name, and whether it is a method."""
    listed = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                listed.append((file, node.name, False))
            elif isinstance(node, ast.ClassDef):
                inner = [item for item in node.body if isinstance(item, ast.FunctionDef)]
                listed += [(file, f"{node.name}.{item.name}", True) for item in inner]
    return listed


def complaints() -> list[str]:
    """Return a line for each name that says too little."""
    places: dict[str, list[str]] = collections.defaultdict(list)
    found = []
    for file, name, is_method in functions():
        place = file.relative_to(PACKAGE).as_posix()
        last = name.rpartition(".")[2].lstrip("_")
        if PARTICIPLE.fullmatch(last) and last not in FINE:
            found.append(f"{place}: {name} is a bare participle")
        elif not (
            is_method
            or "_" in last
            or last in REPEATED
            or place.startswith(NAMED_BY_OPTIONS)
            or (place.startswith("api/") and last in PUBLIC)
        ):
            found.append(f"{place}: {name} is one word")
        if not is_method:
            places[last].append(place)
    for name, files in places.items():
        if len(files) > 2 and name not in REPEATED:
            found.append(f"{name} stands in {len(files)} modules: {', '.join(files)}")
    return found


if __name__ == "__main__":
    lines = complaints()
    print("\n".join(lines) or "Every name says what it names.")
    sys.exit(1 if lines else 0)
