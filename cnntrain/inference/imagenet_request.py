"""What a command line says of a network of `keras.applications`; TensorFlow is not loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.errors import SpecError, find_nearest
from cnntrain.models.parts.weights_file import resolve_weights_file
from cnntrain.spec import option_files
from cnntrain.spec.about import read_paper_network
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.spec import Spec

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame


def split_imagenet_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the images and the overrides among the words of a command."""
    overrides = [word for word in words if "=" in word and not Path(word).exists()]
    return [word for word in words if word not in overrides], overrides


def make_imagenet_frame(image_shape: tuple[int, int, int]) -> "Frame":
    """Return the frame (H, W, C) of photos for ImageNet's networks: their central crops."""
    from cnntrain.data.photos.photo import Frame  # slow to import, and --help must not wait

    height, width, channels = image_shape
    return Frame((height, width), channels, "crop", None)  # type: ignore[arg-type]


def build_imagenet_spec(
    name: str, weights: str, overrides: Sequence[str], config_dir: str | None
) -> tuple[Spec, tuple[int, int, int]]:
    """Return the spec of an option with ImageNet weights, and its image shape (H, W, C).

    Raises SpecError for another option, for weights that are no file, and for other overrides.
    """
    files = option_files.find_option_files("model", config_dir)
    options = [
        key
        for key, file in files.items()
        if option_files.load_option(file)["name"] == "application"
    ]
    if name not in options:
        nearest = find_nearest(name, options)
        raise SpecError(f"--model is {name}", options, f"--model {nearest}" if nearest else None)
    for word in overrides:
        if word.startswith("model.weights="):
            raise SpecError(
                f"{word} is given", "imagenet or a file, as a flag", "--weights imagenet"
            )
        if not word.startswith(("model.", "weights_dir=")):
            raise SpecError(
                f"{word} is not for a published network", "model.KNOB=VALUE or weights_dir=FOLDER"
            )
    words = [f"model={name}", f'model.weights="{weights}"', *overrides]
    if weights != "imagenet":
        try:
            resolve_weights_file(weights)
        except SpecError as error:
            raise rephrase_for_flags(error) from None
    shape = read_paper_network(files[name]).image_shape
    return build_spec(compose_config(words, config_dir).config), shape


def rephrase_for_flags(error: SpecError) -> SpecError:
    """Return an error about `model.weights` as one about `--weights`, which cannot be null."""
    fresh = "model.weights=null"
    hint = (error.hint or "").replace(f", or {fresh}", "").replace(fresh, "")
    given, expected, hint = (
        text.replace("model.weights=", "--weights ").replace("model.weights", "--weights")
        for text in (error.given, error.expected.removeprefix("null, "), hint)
    )
    return SpecError(given, expected, hint or None)
