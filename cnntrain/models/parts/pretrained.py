"""Load the weights that Keras publishes: find or download their files, and check that they fit.

`application` loads them through the function of `keras.applications`, so that this module need
not know which file belongs to which network.
"""

import re
from collections.abc import Callable
from pathlib import Path

import keras
import requests

from cnntrain.errors import SpecError
from cnntrain.models.parts.keras_private import intercept_get_file
from cnntrain.models.parts.weights_file import (
    FORMATS,
    find_official_file,
    get_cache_folder,
    resolve_weights_file,
)


def load_pretrained(
    build: Callable[..., keras.Model],
    described: str,
    weights: str,
    weights_dir: str | None,
    part: str = "without its top",
) -> keras.Model:
    """Return the network that `build(weights="imagenet")` makes with the weights of Keras.

    `weights` is `imagenet`, for the file of the official name, or the path of a file to use in its
    place. `described` and `part` name the network, and the part of it that the weights are for, in
    errors. Raises SpecError for weights that are missing or belong to another network.
    """
    user_file = None if weights == "imagenet" else resolve_weights_file(weights)
    files: list[Path] = []

    def find(name: str, url: str, fetch: Callable[[], str]) -> str:
        files.append(
            user_file
            or find_official_file(name, weights_dir)
            or download_weights_file(name, url, weights_dir, fetch)
        )
        return str(files[-1])

    try:
        with intercept_get_file(find):
            network = build(weights="imagenet")
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # of h5py and Keras
        if not files:
            raise
        raise make_misfit_error(files[-1], described, part, error, user_file is not None) from error
    if not files:
        raise RuntimeError("Keras asked for no file of weights: see models/parts/keras_private.py")
    return network


def download_weights_file(
    name: str,
    url: str,
    weights_dir: str | None,
    fetch: Callable[[], str],
    otherwise: str = "model.weights=PATH, or model.weights=null",
) -> Path:
    """Download the file into Keras' cache; raise SpecError if that fails."""
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
    file: Path, described: str, part: str, error: Exception, from_user: bool
) -> SpecError:
    """Return the SpecError for a file that is damaged or belongs to another network."""
    return SpecError(
        f"{file} does not hold the weights of {described}: {summarize_mismatch(error)}",
        f"weights of exactly this network, {part}: {FORMATS}",
        "model.weights=PATH of another file, or model.weights=imagenet"
        if from_user
        else f"remove or replace {file}",
    )


def summarize_mismatch(error: Exception) -> str:
    """Return in one line what does not fit.

    Keras' own messages append whole arrays and lists of layers.
    """
    text = str(error)
    shapes = re.search(r"variable\.shape=(\(.*?\)).*?value\.shape=(\(.*?\)).*?path=(\S+),", text)
    if shapes:
        return f"{shapes[3]} has the shape {shapes[1]}, in the file {shapes[2]}"
    return shorten_message(text.split("\n\n")[1] if "\n\n" in text else text)


def shorten_message(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}…"
