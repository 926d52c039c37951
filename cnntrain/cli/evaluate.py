"""`cnntrain evaluate`: measure finished runs, or their ensemble, on their own or other data."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import make_parser
from cnntrain.data.views import VIEWS
from cnntrain.errors import SpecError
from cnntrain.files.documents import replace_nonfinite, write_json
from cnntrain.files.paths import expand_folder
from cnntrain.inference.calibrate import calibrate_run, check_calibration_request
from cnntrain.inference.classifier import check_one_label, open_classifier
from cnntrain.inference.ensemble import check_same_images, evaluate_runs
from cnntrain.inference.examples import build_evaluation_spec
from cnntrain.runs.directory import WEIGHTS
from cnntrain.spec.places import check_data_paths

DEFAULT_COVERAGE = 0.9
USAGE = """\
usage: cnntrain evaluate RUN [RUN ...] [dataset=NAME] [dataset.KNOB=VALUE ...]

  Loss, accuracy with its 95 % interval, calibration, every class and what is taken for what, on
  the test split of the run's own data, or on another data set with classes of the same names: on
  its test part, or on all of it where it has no parts.
  Several runs are an ensemble: the mean of their probabilities. Nothing is written, but by
  --calibrate.

  --weights NAME    best (the default), final, ema or refit
  --split NAME      test (the default), valid or train
  --flips           the mean of the probabilities of each image and its mirror image
  --views NAME      the mean of the logits: mirrored (each image and its mirror image), or
                    mirrored_shifted (half of that, half of both moved by a pixel)
  --fgsm 1,2,4,8    accuracy when each pixel is moved so far, of 255, against the network
  --calibrate       make the probabilities honest, and know when to say "none of these": fitted on
                    the run's validation images, measured on its test images, kept in the run for
                    predict and export, and shown on its page
  --coverage 0.9    the share of images like these that are promised to have their class in the set
  --json            everything, for scripts
  --output FILE     the same into a new file"""


def main(words: Sequence[str]) -> int:
    """`cnntrain evaluate RUN...`: print how good the weights are; return the exit code 0."""
    parser = make_parser("evaluate")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--weights", choices=WEIGHTS)
    parser.add_argument("--split", choices=["test", "valid", "train"], default="test")
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--views", choices=VIEWS, default="none")
    parser.add_argument("--fgsm")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--coverage", type=float)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    for other in ("flips", "fgsm"):
        if arguments.views != "none" and getattr(arguments, other):
            raise SpecError(f"--views and --{other} are both given", "one of them")
    paths, overrides = split_evaluate_words(arguments.words)
    output = check_output_file(arguments.output) if arguments.output is not None else None
    epsilons = None if arguments.fgsm is None else parse_epsilons(arguments.fgsm, paths)
    check_calibration_flags(arguments, paths)
    classifiers = [open_classifier(path, arguments.weights) for path in paths]
    specs = [
        build_evaluation_spec(classifier, overrides, arguments.config_dir)
        for classifier in classifiers
    ]
    check_same_images(classifiers, specs)
    if epsilons is not None:
        check_one_label(classifiers[0], "--fgsm")
    for spec in specs:
        check_data_paths(spec.config)
    if arguments.calibrate:
        coverage = DEFAULT_COVERAGE if arguments.coverage is None else arguments.coverage
        check_calibration_request(classifiers[0], coverage)
        evaluation = calibrate_run(classifiers[0], specs[0], coverage)
    else:
        evaluation = evaluate_runs(classifiers, specs, arguments, epsilons)
    if output is not None:
        try:
            write_json(output, evaluation)
        except OSError as error:
            what = f"--output is {output}, which cannot be written: {error.strerror or error}"
            raise SpecError(what, "a new file in a folder of yours, with room") from None
    if arguments.json:
        print(json.dumps(replace_nonfinite(evaluation)))
    else:
        from cnntrain.inference.evaluate_report import print_calibration, print_evaluation

        (print_calibration if arguments.calibrate else print_evaluation)(evaluation)
    if arguments.calibrate:
        write_page_again(classifiers[0].folder, quiet=arguments.json)
    return 0


def check_calibration_flags(arguments: Namespace, paths: Sequence[str]) -> None:
    """Raise SpecError for what cannot be asked for beside `--calibrate`, or only beside it."""
    coverage = arguments.coverage
    if not arguments.calibrate:
        if coverage is not None:
            raise SpecError(
                f"--coverage is {coverage:g} and nothing is calibrated",
                "a coverage of what is promised",
                f"--calibrate --coverage {coverage:g}",
            )
        return
    if coverage is not None and not 0.5 <= coverage <= 0.999:  # also nan
        raise SpecError(f"--coverage is {coverage}", "a share from 0.5 to 0.999", "--coverage 0.9")
    if len(paths) > 1:
        raise SpecError(
            "--calibrate and several runs are given",
            "one run: predict and export use one network, and an ensemble has no folder of its own",
        )
    if arguments.split != "test":
        raise SpecError(
            f"--calibrate and --split {arguments.split} are both given",
            "no --split: it is fitted on the validation images and measured on those of test",
        )
    for other in ("views", "flips", "fgsm"):
        if getattr(arguments, other) not in ("none", False, None):
            raise SpecError(
                f"--calibrate and --{other} are both given",
                "one of them: predict and exported networks look at an image once, as it is",
            )


def write_page_again(folder: Path, quiet: bool) -> None:
    """Write the page of a run again, and print its path; on standard error say what is amiss."""
    from cnntrain.reports.run_page import write_run_report

    try:
        page = write_run_report(folder)
    except OSError as error:
        print(f"Warning: report.html is not new: {error.strerror or error}", file=sys.stderr)
        return
    if not quiet:
        print(page)


def split_evaluate_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the runs and the overrides among the words of a command."""
    paths = [word for word in words if "=" not in word or Path(word).exists()]
    if not paths:
        raise SpecError("no run is named", "the directory of a run", "cnntrain evaluate outputs/…")
    return paths, [word for word in words if word not in paths]


def check_output_file(text: str) -> Path:
    """Return the path of `--output`; raise SpecError if it exists, or its folder does not."""
    file = expand_folder(text, "--output")
    if file.exists() or not file.parent.is_dir():
        what = "is there" if file.exists() else "has no folder to lie in"
        raise SpecError(f"--output is {text or 'empty'}, which {what}", "a new file")
    return file


def parse_epsilons(text: str, paths: Sequence[str]) -> list[float]:
    """Return the epsilons of `--fgsm`, in 1/255 of the range of a pixel.

    Raises SpecError for several runs, and for anything but numbers from 0 to 255.
    """
    if len(paths) > 1:
        raise SpecError("--fgsm and several runs are given", "one run: the attack is on a network")
    try:
        epsilons = [float(part) for part in text.split(",")]
    except ValueError:
        epsilons = []
    if not epsilons or not all(0 <= epsilon <= 255 for epsilon in epsilons):
        raise SpecError(f"--fgsm is {text}", "numbers from 0 to 255", "--fgsm 1,2,4,8")
    return epsilons
