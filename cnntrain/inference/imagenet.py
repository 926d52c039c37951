"""The networks of `keras.applications` as they were published, with their ImageNet classes."""

import functools
import json
from dataclasses import dataclass
from typing import Any

import keras

from cnntrain.errors import SpecError
from cnntrain.keras_settings import find_keras_folder
from cnntrain.models.application import VARIANTS, call_quietly, check_alpha, preprocess_pixels
from cnntrain.models.parts.pretrained import (
    download_weights_file,
    load_pretrained,
)
from cnntrain.models.parts.weights_file import find_official_file
from cnntrain.spec.signatures import Component

# The file that `decode_predictions` of Keras reads, with the checksum that Keras verifies.
CLASS_INDEX = "imagenet_class_index.json"
URL = "https://storage.googleapis.com/download.tensorflow.org/data/" + CLASS_INDEX
MD5 = "c2c37ea517e94d9795004a39431a14cb"
NO_TOP: dict[str, Any] = {"include_top": False, "pooling": "avg"}


@dataclass(frozen=True)
class PublishedNetwork:
    """A network that takes raw images (B, H, W, C) uint8.

    It returns logits (B, 1000) of ImageNet's classes, or, without a top, features (B, n). Then
    there are no class names.
    """

    network: keras.Model
    class_names: tuple[str, ...]


def build_published_network(
    model: Component, image_shape: tuple[int, int, int]
) -> PublishedNetwork:
    """Return the network, top included, of a model option whose component is `application`.

    `image_shape` is (H, W, C). Raises SpecError if the weights or the class names are missing, or
    if the weights do not fit the network.
    """
    names = load_imagenet_class_names(model["weights_dir"])
    return PublishedNetwork(build_application(model, image_shape, include_top=True), names)


def build_network_with_or_without_top(
    model: Component, image_shape: tuple[int, int, int]
) -> PublishedNetwork:
    """Return the network of `build_published_network`, without its top if the weights have none.

    Raises SpecError if the weights are missing or do not fit either, and for missing class names.
    """
    try:
        network = build_application(model, image_shape, include_top=True)
    except SpecError as error:
        try:
            bare = build_application(model, image_shape, include_top=False)
        except SpecError:
            raise error from None
        return PublishedNetwork(bare, ())
    return PublishedNetwork(network, load_imagenet_class_names(model["weights_dir"]))


def build_application(
    model: Component, image_shape: tuple[int, int, int], include_top: bool
) -> keras.Model:
    """Return a network of Keras with its weights, behind its own preprocessing.

    Like a run's it is a chain of a normalisation, which changes nothing, and the model.
    """
    architecture, alpha = model["architecture"], model["alpha"]
    variant = VARIANTS[architecture]
    check_alpha(alpha, architecture, variant, model["weights"])
    pixels = keras.Input(image_shape)
    build = functools.partial(
        call_quietly,
        getattr(keras.applications, variant.function),
        input_tensor=preprocess_pixels(pixels, variant.preprocessing),
        **({"classifier_activation": None} if include_top else NO_TOP),
        **({"alpha": alpha} if len(variant.alphas) > 1 else {}),
    )
    part = f"with or without its top, and alpha={alpha:g}"
    whole = load_pretrained(build, architecture, model["weights"], model["weights_dir"], part)
    images = x = keras.Input(image_shape, dtype="uint8", name="images")
    x = keras.layers.Rescaling(1.0, dtype="float32", name="normalisation")(x)
    return keras.Model(images, keras.Model(pixels, whole.output, name=architecture)(x))


def load_imagenet_class_names(weights_dir: str | None) -> tuple[str, ...]:
    """Return the 1,000 class names, read from `weights_dir` or Keras' cache, or downloaded.

    Raises SpecError if there is no such file, or it does not hold the names.
    """
    file = find_official_file(CLASS_INDEX, weights_dir) or download_weights_file(
        CLASS_INDEX, URL, weights_dir, download_class_index, otherwise=""
    )
    try:
        index: Any = json.loads(file.read_text(encoding="utf-8"))
        return tuple(str(index[str(number)][1]) for number in range(1000))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise SpecError(
            f"{file} does not hold the names of the classes: {error}",
            f"the file as published at {URL}",
            f"remove or replace {file}",
        ) from None


def download_class_index() -> str:
    """Download the file of class names into Keras' cache, and return its path."""
    return keras.utils.get_file(
        CLASS_INDEX, URL, cache_subdir="models", file_hash=MD5, cache_dir=str(find_keras_folder())
    )
