"""The plan of the house: which room may use which, and what each room must have."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnntrain
from cnntrain.spec.signatures import list_components

PACKAGE, TESTS = Path(cnntrain.__file__).parent, Path(__file__).parent
# From the ground up: a room uses only rooms of the floors below it.
FLOORS = (
    "errors signals keras_settings",
    "terminal",
    "files",
    "spec",
    "runs data models",
    "analysis",
    "training",
    "planning reports inference",
    "visualization running eject",
    "sweeps benchmarks",
    "recipes",
    "cli",
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
DOORS = ("__init__", "__main__")  # what Python opens; they belong to no floor
# Loaded before a request is known.
LIGHT = ("cli", "files", "recipes", "runs", "spec", "sweeps", "terminal")
HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "jax")  # seconds each
FILES = sorted(PACKAGE.rglob("*.py"))


def name(file: Path) -> str:
    """A file as it is known here, and by pytest: `data/photos/photo.py`."""
    return file.relative_to(PACKAGE).as_posix()


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_used(file: Path) -> Iterator[str]:
    """The rooms that a file imports from, wherever in it: in functions and for typing, too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "cnntrain":
            yield from (imported.name for imported in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnntrain."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            dotted = (imported.name.split(".") for imported in node.names)
            yield from (parts[1] for parts in dotted if parts[0] == "cnntrain" and parts[1:])


def modules_at_top(file: Path) -> Iterator[str]:
    """The modules that a file imports as soon as it is imported itself."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (imported.name for imported in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{imported.name}" for imported in node.names)


def acts(statement: ast.stmt) -> bool:
    """Whether a statement of a module does more than to define a name when it is imported."""
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.If):
        return ast.unparse(statement.test) not in ("TYPE_CHECKING", "__name__ == '__main__'")
    if isinstance(statement, ast.Try):
        return any(not isinstance(inner, ast.Import | ast.ImportFrom) for inner in statement.body)
    defining = ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    return not isinstance(statement, defining | ast.Assign | ast.AnnAssign)


def file_of(module: str) -> Path | None:
    """The file of one of our modules, or None."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
    return found[0] if found and module.startswith("cnntrain") else None


def heavy_chain(file: Path, seen: set[Path]) -> list[str]:
    """The files by which importing one loads a heavy library, and that; empty if it does not."""
    seen.add(file)
    for module in modules_at_top(file):
        if module.split(".")[0] in HEAVY:
            return [name(file), module]
        inner = file_of(module)
        if inner is not None and inner not in seen and (chain := heavy_chain(inner, seen)):
            return [name(file), *chain]
    return []


@pytest.mark.parametrize("file", [file for file in FILES if room(file) not in DOORS], ids=name)
def test_imports_point_down(file):
    own = room(file)
    used = {used for used in rooms_used(file) if used not in (own, "__version__")}
    assert not {used for used in used if FLOOR[used] >= FLOOR[own]}


@pytest.mark.parametrize("file", [file for file in FILES if room(file) in LIGHT], ids=name)
def test_light_rooms_load_no_heavy_library(file):
    """A mistake is answered, and --help printed, before TensorFlow loads."""
    assert not heavy_chain(file, set())


@pytest.mark.parametrize("file", [file for file in FILES if room(file) not in DOORS], ids=name)
def test_module_only_defines_names_when_it_is_imported(file):
    """Of all files only `__init__` acts: Keras reads its settings when it is loaded itself."""
    statements = ast.parse(file.read_text(encoding="utf-8")).body
    assert [ast.unparse(statement) for statement in statements if acts(statement)] == []


def test_only_doors_and_the_ground_floor_stand_at_the_root():
    assert {room(file) for file in PACKAGE.glob("*.py")} == {*DOORS, *FLOORS[0].split()}


@pytest.mark.parametrize("place", sorted({file.parent for file in FILES} - {PACKAGE}), ids=name)
def test_a_folder_can_be_surveyed(place):
    """About twenty files; networks, options and operations may be more."""
    assert len(list(place.glob("*.py"))) <= (30 if room(place) == "models" else 21)


@pytest.mark.parametrize("own", sorted(set(FLOOR) - {"errors"}))
def test_every_room_has_tests(own):
    assert list(TESTS.glob(f"{own}/**/test_*.py")) or (TESTS / f"test_{own}.py").is_file()


@pytest.mark.parametrize("group", ["model", "dataset", "augmentation"])
def test_every_file_of_components_defines_the_one_of_its_name(group):
    folder = {"model": "models", "dataset": "data/datasets", "augmentation": "data/augmentations"}
    files = (PACKAGE / folder[group]).glob("*.py")
    assert sorted(file.stem for file in files if file.stem != "__init__") == list_components(group)
