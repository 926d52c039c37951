"""`cnntrain look`: what a trained network sees in one picture, as a page and PNGs."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnntrain.cli.parser import arguments
from cnntrain.data.inventory import is_here
from cnntrain.errors import SpecError
from cnntrain.files.documents import finite, write_json
from cnntrain.inference import image_arguments
from cnntrain.inference.classifier import Classifier, opened
from cnntrain.inference.examples import examples, spec_for
from cnntrain.looking.folder import Folder
from cnntrain.looking.wishes import Wishes, checked
from cnntrain.runs.directory import WEIGHTS
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import quiet
from cnntrain.training.devices.backend import backend

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame, Photos


USAGE = """\
usage: cnntrain look RUN IMAGE [--output FOLDER]
       cnntrain look RUN --test N [data_dir=FOLDER]

  What the network sees in one picture: its channels, the classical filters and the learnt ones,
  maps through the layers, the training patches that excite a filter most, where the network looks
  for a class (Grad-CAM), and how little makes it err (FGSM). A page, look.html, and PNGs.

  IMAGE             a photo of any size and format, decoded as for training; - for standard input
  --test N          image N of the run's test split, as its report numbers them
  --output FOLDER   a new folder (RUN/look/NAME_OF_THE_IMAGE)
  --weights NAME    best (the default), final, ema or refit
  --target CLASS    look for this class (the one that is predicted)
  --layer NAME      a layer with maps, as cnntrain list model OPTION names it (one in the middle)
  --filter N        one of its filters, from 0 (the one that the picture excites most)
  --epsilon N       how far each pixel is moved, of 255 (8)
  --json            what was found, for scripts"""


@dataclass(frozen=True)
class Given:
    """The picture: where it is from, the name of its folder, and how it is read if it is a file."""

    origin: str
    name: str
    photos: "Photos | None" = None
    test: int | None = None


def main(words: Sequence[str]) -> int:
    """`cnntrain look RUN IMAGE`: write a page about one picture, and say what it shows."""
    parser = arguments("look")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--weights", choices=WEIGHTS)
    parser.add_argument("--test", type=int)
    parser.add_argument("--target")
    parser.add_argument("--layer")
    parser.add_argument("--filter", type=int)
    parser.add_argument("--epsilon", type=int, default=8)
    parser.add_argument("--output")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print(USAGE)
        return 0
    run, images, overrides = divided(given.words)
    classifier = opened(run, given.weights)
    check_backend()
    asked = spec_for(classifier, overrides, given.config_dir)
    wishes = checked(given, classifier)
    picture = the_picture(images, given.test, classifier, asked)
    folder = Folder.claim(given.output, classifier.folder / "look", picture.name, picture.origin)
    command = shlex.join(["cnntrain", "look", *words])
    facts = looked(classifier, asked, picture, wishes, folder, command)
    print(json.dumps(finite(facts)) if given.json else said(facts))
    return 0


def divided(words: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """The run, the images and the overrides among the words of the command."""
    paths = [word for word in words if "=" not in word or Path(word).exists()]
    if not paths:
        raise SpecError(
            "no run is named", "the directory of a run, then an image", "cnntrain look --help"
        )
    return paths[0], paths[1:], [word for word in words if word not in paths]


def check_backend() -> None:
    if backend() != "tensorflow":
        raise SpecError(
            f"KERAS_BACKEND is {backend()}, and slopes of a network are taken by TensorFlow",
            "tensorflow, which runs the networks of all backends",
            "KERAS_BACKEND=tensorflow",
        )


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


def looked(
    classifier: Classifier,
    asked: Spec,
    picture: Given,
    wishes: Wishes,
    folder: Folder,
    command: str,
) -> dict[str, Any]:
    """Load TensorFlow, look, and write everything; return the facts."""
    with quiet():
        from cnntrain.looking import page
        from cnntrain.looking.story import look
        from cnntrain.training.trainer import set_up
    set_up(asked)
    image, truth = pixels(classifier, asked, picture)
    facts, sections = look(classifier, asked, image, wishes)
    known = {
        "command": command,
        "run": str(classifier.folder),
        "weights": classifier.weights,
        "image": picture.origin,
        "truth": truth,
        "folder": str(folder.path),
    }
    facts = known | facts
    with folder.writing() as place:
        page.write(place, classifier, facts, sections)
        write_json(place / "look.json", facts)
    return facts


def pixels(classifier: Classifier, asked: Spec, picture: Given) -> tuple[np.ndarray, str | None]:
    """The picture (H, W, C) uint8 as the network gets it, and its class where that is known."""
    if picture.test is not None:
        part, _ = examples(classifier, asked, "test")
        check_number(picture.test, len(part))
        one = part[np.array([picture.test])]
        return one.images[0], classifier.class_names[int(one.labels[0])]
    assert picture.photos is not None
    return whole_photo(picture.photos, classifier.frame), None


def said(facts: dict[str, Any]) -> str:
    """What was found, in a few plain lines."""
    lines = [f"{row['probability']:7.4f}  {row['name']}" for row in facts["classes"]]
    attack = facts["adversarial"]
    lines.append(
        f"moved by {attack['epsilon']}/255: {attack['classes'][0]['name']} "
        f"{attack['classes'][0]['probability']:.4f}"
    )
    lines += facts["left_out"]
    return "\n".join([*lines, str(Path(facts["folder"]) / "look.html")])
