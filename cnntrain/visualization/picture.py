"""The picture to inspect: a photo, standard input, or an image of the test split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnntrain.data.inventory import is_dataset_here
from cnntrain.data.labels import format_label
from cnntrain.errors import SpecError
from cnntrain.inference import image_arguments
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import load_examples
from cnntrain.spec.spec import Spec

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame, Photos


@dataclass(frozen=True)
class PictureSource:
    """The picture before it is loaded: a photo, or else an image of the test split."""

    origin: str  # says where it comes from, for people
    name: str  # of the folder to write
    photos: "Photos | None" = None  # exactly one
    test: int | None = None  # the number of a test image


def find_picture(
    images: Sequence[str], test: int | None, classifier: Classifier, spec: Spec
) -> PictureSource:
    """Return the picture that the command line names by `images` or by the number `test`.

    Raises SpecError if it names none or several, or if the photo is broken.
    """
    if test is not None:
        if images:
            raise SpecError(f"{images[0]} and --test {test} are both given", "one picture")
        check_test_image(test, classifier, spec)
        return PictureSource(f"test image {test}", f"test_{test}", test=test)
    return find_photo(images, classifier.frame)


def find_photo(images: Sequence[str], frame: "Frame") -> PictureSource:
    """Return the photo that `images` name; raise SpecError if not exactly one, or a broken one."""
    if not images:
        raise SpecError("no image is named", "one photo, or --test N", "cnntrain look --help")
    image_arguments.check_image_arguments(images)
    if len(images) > 1 or Path(images[0]).is_dir():
        what = f"{len(images)} images are named" if len(images) > 1 else f"{images[0]} is a folder"
        raise SpecError(what, "one image", "cnntrain predict, which takes many")
    photos = image_arguments.gather_photos(images)
    check_single_photo(photos, frame)
    name = "standard_input" if images[0] == "-" else Path(images[0]).stem
    origin = "-" if images[0] == "-" else str(Path(images[0]).resolve())
    return PictureSource(origin, name, photos)


def check_test_image(test: int, classifier: Classifier, spec: Spec) -> None:
    """Raise SpecError if there is no test image of this number, or its data set is not here."""
    own = spec.hash == classifier.spec.hash
    sizes = classifier.record.get("data", {}).get("sizes", {}) if own else {}
    check_test_number(test, sizes.get("test"))
    if not is_dataset_here(spec):
        raise SpecError(
            f"the run's data is not in data_dir={spec.data_dir}",
            "the images that the run was tested on, or a photo",
            "data_dir=FOLDER, where they lie",
        )


def check_test_number(test: int, count: int | None) -> None:
    """Raise SpecError if `test` is not the number of one of `count` test images, if known."""
    if test < 0 or (count is not None and test >= count):
        last = "" if count is None else f", 0 to {count - 1}"
        raise SpecError(f"--test is {test}", f"the number of a test image{last}")


def check_single_photo(photos: "Photos", frame: "Frame") -> None:
    """Raise SpecError for several photos, which standard input may name, and for a broken one."""
    if len(photos) > 1:
        raise SpecError(f"{len(photos)} images are named", "one image")
    decode_only_photo(photos, frame)


def decode_only_photo(photos: "Photos", frame: "Frame") -> np.ndarray:
    """Return the only photo as pixels (H, W, C) uint8; SpecError if it is broken."""
    from cnntrain.data.photos.decode import decode_chosen_photos

    (photo,) = decode_chosen_photos(photos, [0], frame, [None])
    if isinstance(photo, str):
        raise SpecError(f"{photos.names[0]} is broken: {photo}", "a photo")
    return photo.pixels


def load_pixels(
    classifier: Classifier, spec: Spec, picture: PictureSource
) -> tuple[np.ndarray, str | None]:
    """Return the picture (H, W, C) uint8 as the network gets it, and its class or None."""
    if picture.test is not None:
        examples, _ = load_examples(classifier, spec, "test")
        check_test_number(picture.test, len(examples))
        example = examples[np.array([picture.test])]
        return example.images[0], format_label(example.labels[0], classifier.class_names)
    assert picture.photos is not None
    return decode_only_photo(picture.photos, classifier.frame), None
