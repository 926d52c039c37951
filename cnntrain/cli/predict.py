"""`cnntrain predict`: print the likeliest classes of photos, by a run's network or ImageNet's."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError
from cnntrain.inference import image_arguments
from cnntrain.inference.classifier import open_classifier
from cnntrain.inference.imagenet_request import (
    build_imagenet_spec,
    make_imagenet_frame,
    rephrase_for_flags,
    split_imagenet_words,
)
from cnntrain.runs.calibration import Calibration, read_calibration
from cnntrain.runs.directory import WEIGHTS
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.units import format_duration

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Frame
    from cnntrain.inference.predict_photos import Prediction
    from cnntrain.inference.predict_report import Counts

DEFAULT_TOP = 3  # classes of a photo that are named

USAGE = """\
usage: cnntrain predict RUN IMAGE|FOLDER|- ...
       cnntrain predict --model NAME --weights imagenet [model.alpha=…] [weights_dir=…] IMAGE ...

  The likeliest classes of photos of any size and format, decoded as for training; of a run whose
  images may have several labels, all classes whose probability reaches their threshold. A folder
  stands for everything below it; - for paths on standard input, one a line, or for one image. A
  broken file is a row that says why; the exit code is 1 only if no file was whole.

  --top N           how many classes (3)
  --weights NAME    best (the default), final, ema or refit; with --model imagenet or a file
  --no-calibration  as the network was trained, although cnntrain evaluate --calibrate calibrated it
  --csv             image, error, class_1, probability_1, …
  --jsonl           an object a line"""


def main(words: Sequence[str]) -> int:
    """`cnntrain predict RUN IMAGE...`: print classes of photos; return 1 if all are broken."""
    parser = make_parser("predict")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--model")
    parser.add_argument("--weights")
    parser.add_argument("--top", type=int)
    parser.add_argument("--no-calibration", action="store_true")
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--jsonl", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    if arguments.top is not None and arguments.top < 1:
        raise SpecError(f"--top is {arguments.top}", "a whole number from 1", "--top 1")
    if arguments.csv and arguments.jsonl:
        raise SpecError("--csv and --jsonl are both given", "one of them")
    if arguments.model is not None:
        return predict_with_imagenet(arguments)
    return predict_with_run(arguments)


def predict_with_run(arguments: Namespace) -> int:
    """Predict with the network of a run, the first of the words; return the exit code."""
    if not arguments.words:
        raise SpecError(
            "no run is named", "the directory of a run, then images", "cnntrain predict --help"
        )
    if arguments.weights not in (None, *WEIGHTS):
        hint = "--model NAME --weights imagenet" if arguments.weights == "imagenet" else None
        raise SpecError(f"--weights is {arguments.weights}", WEIGHTS, hint)
    run, *images = arguments.words
    classifier = open_classifier(run, arguments.weights)
    if classifier.has_several_labels and arguments.top is not None:
        raise SpecError(
            f"--top is {arguments.top} and images of {run} may have several labels",
            "no number: all classes whose probability reaches their threshold",
        )
    thresholds = classifier.read_thresholds() if classifier.has_several_labels else None
    image_arguments.check_image_arguments(images)
    calibration = None
    if not arguments.no_calibration:
        calibration = read_calibration(classifier.folder, classifier.weights)
    network = classifier.load_network()
    return print_predictions(
        arguments, images, network, classifier.class_names, classifier.frame, calibration,
        thresholds,
    )  # fmt: skip


def predict_with_imagenet(arguments: Namespace) -> int:
    """Predict with a network of `keras.applications` and ImageNet's classes; return exit code."""
    images, overrides = split_imagenet_words(arguments.words)
    spec, shape = build_imagenet_spec(
        arguments.model, arguments.weights or "imagenet", overrides, arguments.config_dir
    )
    image_arguments.check_image_arguments(images)
    with silence_stderr():
        from cnntrain.inference.imagenet import build_published_network
    try:
        published = build_published_network(spec.model, shape)
    except SpecError as error:
        raise rephrase_for_flags(error) from None
    frame = make_imagenet_frame(shape)
    return print_predictions(arguments, images, published.network, published.class_names, frame)


def print_predictions(
    arguments: Namespace,
    images: Sequence[str],
    network: Any,
    class_names: Sequence[str],
    frame: "Frame",
    calibration: Calibration | None = None,
    thresholds: Sequence[float] | None = None,
) -> int:
    """Predict photos, print classes in the format of the flags, and the speed; return exit code.

    `thresholds` are those of the classes if an image may have several of them, and then there is no
    `calibration`.
    """
    with silence_stderr():
        from cnntrain.data.photos.findings import Findings
        from cnntrain.inference.predict_photos import predict_photos
        from cnntrain.inference.predict_report import describe_promise
        from cnntrain.training.labels.kind import ONE_LABEL, SEVERAL_LABELS

    photos = image_arguments.gather_photos(images)
    kind = ONE_LABEL if thresholds is None else SEVERAL_LABELS
    write = choose_writer(arguments, class_names, calibration, thresholds)
    findings = Findings()
    began = time.perf_counter()
    counts = write(predict_photos(network, photos, frame, findings, kind, calibration))
    seconds = time.perf_counter() - began
    for note in findings.list_notes(len(photos), frame.value_range):
        print(note, file=sys.stderr)
    if calibration is not None and counts.whole:
        print(describe_promise(calibration, counts), file=sys.stderr)
    print(
        f"{len(photos):,} image{'s' * (len(photos) != 1)} in {format_duration(seconds)}, "
        f"{len(photos) / seconds:,.0f} images/s",
        file=sys.stderr,
    )
    return 0 if counts.whole else 1


def choose_writer(
    arguments: Namespace,
    class_names: Sequence[str],
    calibration: Calibration | None,
    thresholds: Sequence[float] | None,
) -> Callable[[Iterable["Prediction"]], "Counts"]:
    """Return what writes predictions in the format of the flags, and counts the photos."""
    form = "csv" if arguments.csv else "jsonl" if arguments.jsonl else "table"
    if thresholds is not None:
        from cnntrain.inference.predict_labels import LabelWriter

        writer = LabelWriter(class_names, thresholds)
        methods = {
            "csv": writer.write_csv, "jsonl": writer.write_json_lines, "table": writer.print_table
        }  # fmt: skip
        return methods[form]
    from cnntrain.inference import predict_report

    writers = {
        "csv": predict_report.write_prediction_csv,
        "jsonl": predict_report.write_prediction_json_lines,
        "table": predict_report.print_prediction_table,
    }
    top = min(arguments.top or DEFAULT_TOP, len(class_names))
    return lambda found: writers[form](found, class_names, top, calibration)
