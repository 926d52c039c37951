"""The picture that is looked at: a photo, standard input, or an image of the test split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnntrain.data.inventory import is_here
from cnntrain.errors import SpecError
from cnntrain.inference import image_arguments
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import examples
from cnntrain.spec.spec import Spec

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame, Photos


@dataclass(frozen=True)
class Given:
    """The picture: where it is from, the name of its folder, and how it is read if it is a file."""

    origin: str
    name: str
    photos: "Photos | None" = None
    test: int | None = None


def the_picture(
    images: Sequence[str], test: int | None, classifier: Classifier, asked: Spec
) -> Given:
    """The one picture that is named; SpecError for none, several or a broken one."""
    if test is not None:
        if images:
            raise SpecError(f"{images[0]} and --test {test} are both given", "one picture")
        check_test(test, classifier, asked)
        return Given(f"test image {test}", f"test_{test}", test=test)
    if not images:
        raise SpecError("no image is named", "one photo, or --test N", "cnntrain look --help")
    image_arguments.check(images)
    if len(images) > 1 or Path(images[0]).is_dir():
        what = f"{len(images)} images are named" if len(images) > 1 else f"{images[0]} is a folder"
        raise SpecError(what, "one image", "cnntrain predict, which takes many")
    photos = image_arguments.gathered(images)
    check_whole(photos, classifier.frame)
    name = "standard_input" if images[0] == "-" else Path(images[0]).stem
    origin = "-" if images[0] == "-" else str(Path(images[0]).resolve())
    return Given(origin, name, photos)


def check_test(test: int, classifier: Classifier, asked: Spec) -> None:
    """Refuse the number of no test image, and test images that are not here."""
    own = asked.hash == classifier.spec.hash
    sizes = classifier.record.get("data", {}).get("sizes", {}) if own else {}
    check_number(test, sizes.get("test"))
    if not is_here(asked):
        raise SpecError(
            f"the run's data is not in data_dir={asked.data_dir}",
            "the images that the run was tested on, or a photo",
            "data_dir=FOLDER, where they lie",
        )


def check_number(test: int, count: int | None) -> None:
    if test < 0 or (count is not None and test >= count):
        last = "" if count is None else f", 0 to {count - 1}"
        raise SpecError(f"--test is {test}", f"the number of a test image{last}")


def check_whole(photos: "Photos", frame: "Frame") -> None:
    """Refuse several photos, as standard input may name, and one that cannot be decoded."""
    if len(photos) > 1:
        raise SpecError(f"{len(photos)} images are named", "one image")
    whole_photo(photos, frame)


def whole_photo(photos: "Photos", frame: "Frame") -> np.ndarray:
    """Return the only photo as pixels (H, W, C) uint8; SpecError if it is broken."""
    from cnntrain.data.photos.decode import decode_some

    (found,) = decode_some(photos, [0], frame, [None])
    if isinstance(found, str):
        raise SpecError(f"{photos.names[0]} is no whole image: {found}", "a photo")
    return found.pixels


def pixels(classifier: Classifier, asked: Spec, picture: Given) -> tuple[np.ndarray, str | None]:
    """The picture (H, W, C) uint8 as the network gets it, and its class where that is known."""
    if picture.test is not None:
        part, _ = examples(classifier, asked, "test")
        check_number(picture.test, len(part))
        one = part[np.array([picture.test])]
        return one.images[0], classifier.class_names[int(one.labels[0])]
    assert picture.photos is not None
    return whole_photo(picture.photos, classifier.frame), None
