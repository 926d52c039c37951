"""`cnntrain look`: show what a trained network sees in one picture, on a page and in PNGs."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError
from cnntrain.files.documents import replace_nonfinite
from cnntrain.inference.classifier import open_classifier
from cnntrain.inference.examples import build_evaluation_spec
from cnntrain.runs.directory import WEIGHTS
from cnntrain.training.devices.backend import resolve_backend
from cnntrain.visualization.folder import OutputFolder
from cnntrain.visualization.options import parse_inspection_options
from cnntrain.visualization.page import write_look
from cnntrain.visualization.picture import find_picture

USAGE = """\
usage: cnntrain look RUN IMAGE [--output FOLDER]
       cnntrain look RUN --test N [data_dir=FOLDER]

  What the network sees in one picture: its channels, the classical filters and the learnt ones,
  feature maps of the layers, the training patches that excite a filter most, where the network
  looks for a class (Grad-CAM), and how little makes it err (FGSM). A page, look.html, and PNGs.

  IMAGE             a photo of any size and format, decoded as for training; - for standard input
  --test N          image N of the run's test split, as its report numbers them
  --output FOLDER   a new folder (RUN/look/NAME_OF_THE_IMAGE)
  --weights NAME    best (the default), final, ema or refit
  --target CLASS    look for this class (the one that is predicted)
  --layer NAME      a layer with feature maps, as cnntrain list model OPTION names it (a middle one)
  --filter N        one of its filters, from 0 (the one that the picture excites most)
  --epsilon N       how far each pixel is moved, of 255 (8)
  --json            what was found, for scripts"""


def main(words: Sequence[str]) -> int:
    """`cnntrain look RUN IMAGE`: write a page about one picture, and print what it shows."""
    parser = make_parser("look")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--weights", choices=WEIGHTS)
    parser.add_argument("--test", type=int)
    parser.add_argument("--target")
    parser.add_argument("--layer")
    parser.add_argument("--filter", type=int)
    parser.add_argument("--epsilon", type=int, default=8)
    parser.add_argument("--output")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    run, images, overrides = split_look_words(arguments.words)
    classifier = open_classifier(run, arguments.weights)
    check_tensorflow_backend()
    spec = build_evaluation_spec(classifier, overrides, arguments.config_dir)
    options = parse_inspection_options(arguments, classifier)
    picture = find_picture(images, arguments.test, classifier, spec)
    folder = OutputFolder.claim(
        arguments.output, classifier.folder / "look", picture.name, picture.origin
    )
    command = shlex.join(["cnntrain", "look", *words])
    facts = write_look(classifier, spec, picture, options, folder, command)
    print(json.dumps(replace_nonfinite(facts)) if arguments.json else format_look(facts))
    return 0


def split_look_words(words: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Return the run, the images and the overrides among the words of the command."""
    paths = [word for word in words if "=" not in word or Path(word).exists()]
    if not paths:
        raise SpecError(
            "no run is named", "the directory of a run, then an image", "cnntrain look --help"
        )
    return paths[0], paths[1:], [word for word in words if word not in paths]


def check_tensorflow_backend() -> None:
    if resolve_backend() != "tensorflow":
        raise SpecError(
            f"KERAS_BACKEND is {resolve_backend()}, and the gradients of a network need TensorFlow",
            "tensorflow, which runs the networks of all backends",
            "KERAS_BACKEND=tensorflow",
        )


def format_look(facts: dict[str, Any]) -> str:
    """Return the classes, the attack and the page as a few lines of text."""
    lines = [f"{row['probability']:7.4f}  {row['name']}" for row in facts["classes"]]
    attack = facts["adversarial"]
    lines.append(
        f"moved by {attack['epsilon']}/255: {attack['classes'][0]['name']} "
        f"{attack['classes'][0]['probability']:.4f}"
    )
    lines += facts["left_out"]
    return "\n".join([*lines, str(Path(facts["folder"]) / "look.html")])
