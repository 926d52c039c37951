"""Private parts of libraries are used in one file a library, and are still there."""

import ast
import importlib
import importlib.metadata
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

import cnntrain

ROOT = Path(cnntrain.__file__).parents[1]
FILES = [file for folder in ("cnntrain", "scripts") for file in (ROOT / folder).rglob("*.py")]
PUBLIC = ("_replace", "_asdict", "_fields", "_make")  # of named tuples, by Python's documentation
BY_NAME = ("getattr", "hasattr", "setattr", "delattr")


def is_private(word: object) -> bool:
    return isinstance(word, str) and word.startswith("_") and not word.startswith("__")


def is_ours(node: ast.expr) -> bool:
    """Whether an attribute is looked up in `self` or `cls`."""
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def private_words(file: Path) -> Iterator[str]:
    """The private names that a file takes from somewhere else: by import, dot or `getattr`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        words: list[object] = []
        if isinstance(node, ast.ImportFrom):
            words = [*(node.module or "").split("."), *(one.name for one in node.names)]
        elif isinstance(node, ast.Import):
            words = [word for one in node.names for word in one.name.split(".")]
        elif isinstance(node, ast.Attribute) and not is_ours(node.value):
            words = [node.attr]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in BY_NAME:
            words = [getattr(argument, "value", None) for argument in node.args[1:2]]
        yield from (str(word) for word in words if is_private(word) and word not in PUBLIC)


def test_private_words_stand_in_the_file_of_their_library_only():
    using = {file.relative_to(ROOT).as_posix() for file in FILES if list(private_words(file))}
    assert using == {
        "cnntrain/data/fetch/tfds_private.py",
        "cnntrain/models/parts/keras_private.py",
        "cnntrain/spec/hydra_private.py",
        "cnntrain/sweeps/optuna_private.py",
    }


def check_present(package: str, thing: object, attribute: str, file: str) -> None:
    """Fail in words if a library has no longer what our file on its private parts uses."""
    try:
        attrgetter(attribute)(thing)
    except AttributeError as error:
        version = importlib.metadata.version(package)
        pytest.fail(f"{package} {version}: {error}. See how cnntrain/{file} can do without.")


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("hydra._internal.hydra", "Hydra.create_main_hydra2"),
        ("hydra._internal.utils", "create_config_search_path"),
    ],
)
def test_hydra_has_its_private_parts(module, attribute):
    try:
        thing = importlib.import_module(module)
    except ImportError as error:
        pytest.fail(f"{error}. See how cnntrain/spec/hydra_private.py can do without.")
    check_present("hydra-core", thing, attribute, "spec/hydra_private.py")


def test_keras_has_its_private_parts():
    import keras

    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    check_present("keras", network, "_functional._nodes_by_depth", "models/parts/keras_private.py")


def test_tfds_has_its_private_parts():
    from tensorflow_datasets.core import DatasetBuilder

    method = "_make_download_manager"
    check_present("tensorflow-datasets", DatasetBuilder, method, "data/fetch/tfds_private.py")


def test_optuna_has_its_private_parts():
    optuna = pytest.importorskip("optuna")
    trial = optuna.trial.create_trial(value=0.0)
    check_present("optuna", trial, "_trial_id", "sweeps/optuna_private.py")
