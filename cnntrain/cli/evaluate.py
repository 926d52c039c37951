"""`cnntrain evaluate`: measure finished runs, or their ensemble, on their own or other data."""

import json
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import make_parser
from cnntrain.data.views import VIEWS
from cnntrain.errors import SpecError
from cnntrain.files.documents import replace_nonfinite, write_json
from cnntrain.files.paths import expand_folder
from cnntrain.inference.classifier import check_one_label, open_classifier
from cnntrain.inference.ensemble import check_same_images, evaluate_runs
from cnntrain.inference.examples import build_evaluation_spec
from cnntrain.runs.directory import WEIGHTS
from cnntrain.spec.places import check_data_paths

USAGE = """\
usage: cnntrain evaluate RUN [RUN ...] [dataset=NAME] [dataset.KNOB=VALUE ...]

  Loss, accuracy with its 95 % interval, calibration, every class and what is taken for what, on
  the test split of the run's own data, or on another data set with classes of the same names: on
  its test part, or on all of it where it has no parts.
  Several runs are an ensemble: the mean of their probabilities. Nothing is written.

  --weights NAME    best (the default), final, ema or refit
  --split NAME      test (the default), valid or train
  --flips           the mean of the probabilities of each image and its mirror image
  --views NAME      the mean of the logits: mirrored (each image and its mirror image), or
                    mirrored_shifted (half of that, half of both moved by a pixel)
  --fgsm 1,2,4,8    accuracy when each pixel is moved so far, of 255, against the network
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
        from cnntrain.inference.evaluate_report import print_evaluation

        print_evaluation(evaluation)
    return 0


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
