"""`cnntrain predict`: what a trained network, or one of ImageNet, sees in photos."""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError, find_nearest
from cnntrain.inference import image_arguments
from cnntrain.inference.classifier import open_classifier
from cnntrain.runs.directory import WEIGHTS
from cnntrain.spec import option_files
from cnntrain.spec.about import read_paper_network
from cnntrain.spec.build import build_spec
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.units import format_duration

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame


USAGE = """\
usage: cnntrain predict RUN IMAGE|FOLDER|- ...
       cnntrain predict --model NAME --weights imagenet [model.alpha=…] [weights_dir=…] IMAGE ...

  The likeliest classes of photos of any size and format, decoded as for training. A folder stands
  for everything below it; - for paths on standard input, one a line, or for one image. A broken
  file is a row that says why; the exit code is 1 only if no file was whole.

  --top N           how many classes (3)
  --weights NAME    best (the default), final, ema or refit; with --model imagenet or a file
  --csv             image, error, class_1, probability_1, …
  --jsonl           an object a line"""


def main(words: Sequence[str]) -> int:
    """`cnntrain predict RUN IMAGE...`: say what is in photos; exit code 1 if none was whole."""
    parser = make_parser("predict")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--model")
    parser.add_argument("--weights")
    parser.add_argument("--top", type=int, default=3)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--jsonl", action="store_true")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print(USAGE)
        return 0
    if given.top < 1:
        raise SpecError(f"--top is {given.top}", "a whole number from 1", "--top 1")
    if given.csv and given.jsonl:
        raise SpecError("--csv and --jsonl are both given", "one of them")
    if given.model is not None:
        return predict_with_imagenet(given)
    return predict_with_run(given)


def predict_with_run(given: Namespace) -> int:
    """Predict with the network of a run, the first of the words."""
    if not given.words:
        raise SpecError(
            "no run is named", "the directory of a run, then images", "cnntrain predict --help"
        )
    if given.weights not in (None, *WEIGHTS):
        hint = "--model NAME --weights imagenet" if given.weights == "imagenet" else None
        raise SpecError(f"--weights is {given.weights}", WEIGHTS, hint)
    run, *images = given.words
    classifier = open_classifier(run, given.weights)
    image_arguments.check_image_arguments(images)
    network = classifier.load_network()
    return print_predictions(given, images, network, classifier.class_names, classifier.frame)


def predict_with_imagenet(given: Namespace) -> int:
    """Predict with a network of `keras.applications` and its ImageNet classes."""
    overrides = [word for word in given.words if "=" in word and not Path(word).exists()]
    images = [word for word in given.words if word not in overrides]
    asked, shape = build_imagenet_spec(
        given.model, given.weights or "imagenet", overrides, given.config_dir
    )
    image_arguments.check_image_arguments(images)
    with silence_stderr():
        from cnntrain.data.photos.photo import Frame
        from cnntrain.inference.imagenet import build_published_network
    try:
        found = build_published_network(asked.model, shape)
    except SpecError as error:
        raise rephrase_for_flags(error) from None
    height, width, channels = shape
    frame = Frame((height, width), channels, "crop", None)  # type: ignore[arg-type]
    return print_predictions(given, images, found.network, found.class_names, frame)


def build_imagenet_spec(
    name: str, weights: str, overrides: Sequence[str], config_dir: str | None
) -> tuple[Spec, tuple[int, int, int]]:
    """The spec of an option that has ImageNet weights, and the images that it is made for."""
    from cnntrain.spec.compose import compose_config

    files = option_files.find_option_files("model", config_dir)
    known = [
        key
        for key, file in files.items()
        if option_files.load_option(file)["name"] == "application"
    ]
    if name not in known:
        close = find_nearest(name, known)
        raise SpecError(f"--model is {name}", known, f"--model {close}" if close else None)
    for word in overrides:
        if word.startswith("model.weights="):
            raise SpecError(
                f"{word} is given", "imagenet or a file, as a flag", "--weights imagenet"
            )
        if not word.startswith(("model.", "weights_dir=")):
            raise SpecError(
                f"{word} is not for prediction", "model.KNOB=VALUE or weights_dir=FOLDER"
            )
    words = [f"model={name}", f'model.weights="{weights}"', *overrides]
    shape = read_paper_network(files[name]).image_shape
    return build_spec(compose_config(words, config_dir).config), shape


def rephrase_for_flags(error: SpecError) -> SpecError:
    """An answer of training in the words of prediction: `--weights`, which cannot be null."""
    fresh = "model.weights=null"
    hint = (error.hint or "").replace(f", or {fresh}", "").replace(fresh, "")
    given, expected, hint = (
        text.replace("model.weights=", "--weights ").replace("model.weights", "--weights")
        for text in (error.given, error.expected.removeprefix("null, "), hint)
    )
    return SpecError(given, expected, hint or None)


def print_predictions(
    given: Namespace,
    images: Sequence[str],
    network: Any,
    class_names: Sequence[str],
    frame: "Frame",
) -> int:
    """Predict, write it down as asked, and say how fast it was."""
    with silence_stderr():
        from cnntrain.data.photos.findings import Findings
        from cnntrain.inference import predict_report
        from cnntrain.inference.predict_photos import predict_photos

    photos = image_arguments.gather_photos(images)
    write = predict_report.print_prediction_table
    if given.csv or given.jsonl:
        write = (
            predict_report.write_prediction_csv
            if given.csv
            else predict_report.write_prediction_json_lines
        )
    findings = Findings()
    began = time.perf_counter()
    found = predict_photos(network, photos, frame, findings)
    whole = write(found, class_names, min(given.top, len(class_names)))
    seconds = time.perf_counter() - began
    for note in findings.list_notes(len(photos), frame.value_range):
        print(note, file=sys.stderr)
    print(
        f"{len(photos):,} image{'s' * (len(photos) != 1)} in {format_duration(seconds)}, "
        f"{len(photos) / seconds:,.0f} images/s",
        file=sys.stderr,
    )
    return 0 if whole else 1
