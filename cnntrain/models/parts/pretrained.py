"""Weights that Keras publishes: where their files lie, and what to say where they do not fit.

No component, but what `application` needs: it loads through the function of `keras.applications`,
so that nothing is known here of which file belongs to which network.
"""

import re
from collections.abc import Callable
from pathlib import Path

import keras
import requests

from cnntrain.errors import SpecError, find_nearest
from cnntrain.keras_settings import find_keras_folder
from cnntrain.models.parts.keras_private import intercept_get_file

FORMATS = "legacy Keras in a .h5, Keras 3 in a .weights.h5"


def load_pretrained(
    build: Callable[[], keras.Model],
    described: str,
    weights: str,
    weights_dir: str | None,
    part: str = "without its top",
) -> keras.Model:
    """Return what `build` makes, a network of Keras that asks for its ImageNet weights.

    It is given the file that `weights` names, or for `imagenet` the one of the official name;
    `part` says of which part of the network these are.
    Raises SpecError for weights that are not there or are not of this network.
    """
    given = None if weights == "imagenet" else resolve_weights_file(weights)
    files: list[Path] = []

    def find(name: str, url: str, fetch: Callable[[], str]) -> str:
        files.append(
            given
            or find_official_file(name, weights_dir)
            or download_weights_file(name, url, weights_dir, fetch)
        )
        return str(files[-1])

    try:
        with intercept_get_file(find):
            network = build()
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # h5py's and Keras'
        if not files:
            raise
        raise make_misfit_error(files[-1], described, part, error, given is not None) from error
    if not files:
        raise RuntimeError("Keras asked for no file of weights: see models/parts/keras_private.py")
    return network


def resolve_weights_file(text: str) -> Path:
    """The file of a path that the user gave."""
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
    """A path with `~` for the home of its user."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SpecError(f"{setting} is {text}", f"a path that can be: {error}") from None


def find_official_file(name: str, weights_dir: str | None) -> Path | None:
    """The official file in `weights_dir` or in Keras' cache, in either format; None if nowhere."""
    folders = [expand_weights_path(weights_dir, "weights_dir")] if weights_dir else []
    for folder in [*folders, get_cache_folder()]:
        for file in (folder / name, folder / name.replace(".h5", ".weights.h5")):
            if file.is_file():
                return file
    return None


def get_cache_folder() -> Path:
    return find_keras_folder() / "models"


def download_weights_file(
    name: str,
    url: str,
    weights_dir: str | None,
    fetch: Callable[[], str],
    otherwise: str = "model.weights=PATH, or model.weights=null",
) -> Path:
    """Download the file into Keras' cache; SpecError where that cannot be."""
    try:
        requests.head(url, timeout=10)  # Keras itself waits for minutes where packets are dropped
        return Path(fetch())
    except requests.RequestException:
        why = "there is no network to fetch it"
    except Exception as error:  # Keras raises bare Exceptions for what urllib says
        why = f"fetching it failed: {shorten_message(str(error))}"
    where = (
        f"weights_dir={weights_dir} nor in {get_cache_folder()}"
        if weights_dir
        else str(get_cache_folder())
    )
    raise SpecError(
        f"{name} is {'neither' if weights_dir else 'not'} in {where}, and {why}",
        f"the file, as published at {url}",
        "weights_dir=FOLDER_WITH_THE_FILE" + (f", or {otherwise}" if otherwise else ""),
    )


def make_misfit_error(
    file: Path, described: str, part: str, error: Exception, given: bool
) -> SpecError:
    """A file that is damaged or of another network."""
    return SpecError(
        f"{file} does not hold the weights of {described}: {summarize_mismatch(error)}",
        f"weights of exactly this network, {part}: {FORMATS}",
        "model.weights=PATH of another file, or model.weights=imagenet"
        if given
        else f"remove or replace {file}",
    )


def summarize_mismatch(error: Exception) -> str:
    """What does not fit, in a line: Keras appends whole arrays and lists of layers."""
    text = str(error)
    shapes = re.search(r"variable\.shape=(\(.*?\)).*?value\.shape=(\(.*?\)).*?path=(\S+),", text)
    if shapes:
        return f"{shapes[3]} has the shape {shapes[1]}, in the file {shapes[2]}"
    return shorten_message(text.split("\n\n")[1] if "\n\n" in text else text)


def shorten_message(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}…"
