"""`cnntrain look`: show what a trained network sees in one picture, on a page and in PNGs."""

import json
import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError
from cnntrain.files.documents import replace_nonfinite
from cnntrain.inference.classifier import open_classifier
from cnntrain.inference.examples import build_evaluation_spec
from cnntrain.inference.imagenet_request import (
    build_imagenet_spec,
    make_imagenet_frame,
    rephrase_for_flags,
    split_imagenet_words,
)
from cnntrain.runs.calibration import read_calibration
from cnntrain.runs.directory import WEIGHTS
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.training.devices.backend import resolve_backend
from cnntrain.visualization.folder import OutputFolder
from cnntrain.visualization.layer_names import check_layer_request
from cnntrain.visualization.options import check_inspection_flags, parse_inspection_options
from cnntrain.visualization.picture import (
    decode_only_photo,
    find_photo,
    find_picture,
    load_pixels,
)

USAGE = """\
usage: cnntrain look RUN IMAGE [--output FOLDER]
       cnntrain look RUN --test N [data_dir=FOLDER]
       cnntrain look --model NAME --weights imagenet [model.alpha=…] [weights_dir=…] IMAGE

  What the network sees in one picture: its channels, the classical filters and the learnt ones,
  feature maps of the layers, the training patches that excite a filter most, where the network
  looks for a class (Grad-CAM), and how little makes it err (FGSM). A page, look.html, and PNGs.

  IMAGE             a photo of any size and format, decoded as for training; - for standard input
  --test N          image N of the run's test split, as its report numbers them
  --output FOLDER   a new folder (RUN/look/NAME_OF_THE_IMAGE, with --model look/NAME_OF_THE_IMAGE)
  --model NAME      a network of keras.applications instead of a run: cnntrain list applications
  --weights NAME    best (the default), final, ema or refit; with --model imagenet or a file,
                    without a top too: then there are no classes, only filters and feature maps
  --target CLASS    look for this class (the one that is predicted)
  --layer NAME      a layer with feature maps, as cnntrain list model OPTION names it (a middle one)
  --filter N        one of its filters, from 0 (the one that the picture excites most)
  --epsilon N       how far each pixel is moved, of 255 (8)
  --no-calibration  as the network was trained, although cnntrain evaluate --calibrate calibrated it
  --json            what was found, for scripts"""


def main(words: Sequence[str]) -> int:
    """`cnntrain look RUN IMAGE`: write a page about one picture, and print what it shows."""
    parser = make_parser("look")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--model")
    parser.add_argument("--weights")
    parser.add_argument("--test", type=int)
    parser.add_argument("--target")
    parser.add_argument("--layer")
    parser.add_argument("--filter", type=int)
    parser.add_argument("--epsilon", type=int, default=8)
    parser.add_argument("--no-calibration", action="store_true")
    parser.add_argument("--output")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    check_inspection_flags(arguments)
    look = look_with_run if arguments.model is None else look_with_published_network
    facts = look(arguments, shlex.join(["cnntrain", "look", *words]))
    print(json.dumps(replace_nonfinite(facts)) if arguments.json else format_look(facts))
    return 0


def look_with_run(arguments: Namespace, command: str) -> dict[str, Any]:
    """Look at a picture with the network of a run; return the facts of look.json."""
    if arguments.weights not in (None, *WEIGHTS):
        hint = "--model NAME --weights imagenet" if arguments.weights == "imagenet" else None
        raise SpecError(f"--weights is {arguments.weights}", WEIGHTS, hint)
    run, images, overrides = split_look_words(arguments.words)
    classifier = open_classifier(run, arguments.weights)
    check_tensorflow_backend()
    spec = build_evaluation_spec(classifier, overrides, arguments.config_dir)
    options = parse_inspection_options(arguments, classifier.class_names)
    check_layer_request(classifier.file, arguments.layer, arguments.filter)
    calibration = None
    if not arguments.no_calibration:
        calibration = read_calibration(classifier.folder, classifier.weights)
    picture = find_picture(images, arguments.test, classifier, spec)
    parent = classifier.folder / "look"
    folder = OutputFolder.claim(arguments.output, parent, picture.name, picture.origin)
    page, subjects = load_look_modules(spec)
    subject = subjects.make_run_subject(classifier, spec, calibration)
    pixels, truth = load_pixels(classifier, spec, picture)
    origin = {"command": command, "image": picture.origin, "truth": truth}
    return page.write_look(subject, pixels, options, folder, origin)


def look_with_published_network(arguments: Namespace, command: str) -> dict[str, Any]:
    """Look at a photo with a network of `keras.applications`; return the facts of look.json."""
    weights = arguments.weights or "imagenet"
    images, overrides = split_imagenet_words(arguments.words)
    spec, shape = build_imagenet_spec(arguments.model, weights, overrides, arguments.config_dir)
    check_tensorflow_backend()
    if arguments.test is not None:
        raise SpecError(f"--test is {arguments.test}, and --model is no run", "a photo")
    frame = make_imagenet_frame(shape)
    picture = find_photo(images, frame)
    folder = OutputFolder.claim(arguments.output, Path("look"), picture.name, picture.origin)
    page, subjects = load_look_modules(spec)
    try:
        subject = subjects.make_published_subject(arguments.model, weights, spec, shape)
    except SpecError as error:
        raise rephrase_for_flags(error) from None
    options = parse_inspection_options(arguments, subject.class_names)
    assert picture.photos is not None
    pixels = decode_only_photo(picture.photos, frame)
    origin = {"command": command, "image": picture.origin, "truth": None}
    return page.write_look(subject, pixels, options, folder, origin)


def load_look_modules(spec: Spec) -> tuple[Any, Any]:
    """Return the modules `page` and `subject`, which load TensorFlow, set up for a spec."""
    with silence_stderr():
        from cnntrain.training.devices.setup import configure_backend
        from cnntrain.visualization import page, subject
    configure_backend(spec)
    return page, subject


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
    from cnntrain.inference.predict_report import explain_refusal  # loads TensorFlow, as a look has

    lines = [f"{row['probability']:7.4f}  {row['name']}" for row in facts["classes"]]
    if facts.get("refused"):
        lines.insert(0, explain_refusal(facts["unfamiliarity"]))
    if attack := facts.get("adversarial"):
        best = attack["classes"][0]
        word = "still " if best["name"] == facts["classes"][0]["name"] else ""
        lines.append(
            f"with each pixel moved by {attack['epsilon']} of 255 to mislead the network: "
            f"{word}{best['name']} {best['probability']:.4f}"
        )
    lines += facts["left_out"]
    return "\n".join([*lines, str(Path(facts["folder"]) / "look.html")])
