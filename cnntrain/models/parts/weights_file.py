"""The paths of files of weights, found and checked without loading Keras."""

from pathlib import Path

from cnntrain.errors import SpecError, find_nearest
from cnntrain.keras_settings import find_keras_folder

FORMATS = "legacy Keras in a .h5, Keras 3 in a .weights.h5"


def resolve_weights_file(text: str) -> Path:
    """Return the path of the user's .h5 file; raise SpecError if it is none."""
    path = expand_weights_path(text, "model.weights")
    if path.is_file() and path.suffix == ".h5":
        return path
    if find_nearest(text, ["imagenet"]):
        hint = "model.weights=imagenet"
    else:
        hint = "model.weights=/absolute/path/of/a/file.h5"
    what = "no .h5 file" if path.is_file() else "a folder" if path.is_dir() else "not there"
    raise SpecError(
        f"model.weights is {text or 'empty'}, which is {what}",
        f"null, imagenet, or a file: {FORMATS}",
        hint,
    )


def expand_weights_path(text: str, setting: str) -> Path:
    """Return a path with `~` expanded; raise SpecError if that is impossible."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SpecError(f"{setting} is {text}", f"a path that can be: {error}") from None


def find_official_file(name: str, weights_dir: str | None) -> Path | None:
    """Return the file in `weights_dir` or in Keras' cache, in either format, or None."""
    folders = [expand_weights_path(weights_dir, "weights_dir")] if weights_dir else []
    for folder in [*folders, get_cache_folder()]:
        for file in (folder / name, folder / name.replace(".h5", ".weights.h5")):
            if file.is_file():
                return file
    return None


def get_cache_folder() -> Path:
    return find_keras_folder() / "models"
