"""The path of a file of weights, checked without loading Keras."""

from pathlib import Path

from cnntrain.errors import SpecError, find_nearest

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
