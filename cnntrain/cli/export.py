"""`cnntrain export`: write a network for other runtimes, and check it there before it is kept."""

import importlib.metadata
import json
import re
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import make_parser
from cnntrain.errors import Failure, SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.inference.classifier import Classifier, open_classifier
from cnntrain.inference.convert import export_classifier
from cnntrain.inference.examples import build_evaluation_spec
from cnntrain.inference.export_formats import FORMATS, ExportFormat, check_installed
from cnntrain.inference.parity import Parity
from cnntrain.inference.untrusted import read_network_config
from cnntrain.runs.calibration import read_calibration
from cnntrain.runs.directory import WEIGHTS
from cnntrain.signals import raise_terminated
from cnntrain.visualization.demo.page_format import PAGE_FORMAT, make_page_format

PAGE = "html"  # a page that has the network in it and runs it in a browser
ALL_FORMATS = FORMATS | {PAGE: PAGE_FORMAT}

USAGE = """\
usage: cnntrain export RUN --format savedmodel|onnx|tflite|keras|html [data_dir=…]

  Raw uint8 images in, probabilities out, the names of the classes inside. What was written is run
  in its own runtime on images of the run's test split, and must say what the network says; else
  nothing is left of it. html is a page that needs no network: draw a digit or drop a photo.

  --no-calibration  as the network was trained, although cnntrain evaluate --calibrate calibrated it
  --quantize int8   8-bit weights and activations (tflite), calibrated on training images; of
                    those that it is run on, at most 5 % may change their class
  --weights NAME    best (the default), final, ema or refit
  --output PATH     else RUN/export/NETWORK.onnx, and so on; of a savedmodel it is the folder that
                    holds the numbered versions: PATH/1
  --json            what was written, for scripts"""


def main(words: Sequence[str]) -> int:
    """`cnntrain export RUN --format F`: return 1 if the exported network does not agree."""
    parser = make_parser("export")
    parser.add_argument("run", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--format", choices=ALL_FORMATS)
    parser.add_argument("--quantize", choices=["int8"])
    parser.add_argument("--weights", choices=WEIGHTS)
    parser.add_argument("--output")
    parser.add_argument("--no-calibration", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    check_export_request(arguments)
    classifier = open_classifier(arguments.run, arguments.weights)
    spec = build_evaluation_spec(classifier, arguments.overrides, arguments.config_dir)
    calibration = None
    if not arguments.no_calibration:
        calibration = read_calibration(classifier.folder, classifier.weights)
    target = choose_export_path(classifier, arguments)
    format = choose_format(classifier, arguments.format)
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        parity = export_classifier(classifier, spec, arguments, format, target, calibration)
    except Failure as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    print_export(parity, arguments, classifier, target)
    if arguments.json:
        return 0
    if calibration is not None:
        print(
            f"calibrated: temperature {calibration.temperature:.3f} is in the probabilities; the "
            f"set of an image has the labels from {calibration.threshold:.6f} on, and none where "
            "its unfamiliarity is above 1"
        )
    elif classifier.is_calibrated:
        print("as trained: the calibration of the run is left out")
    return 0


def check_export_request(arguments: Namespace) -> None:
    """Raise SpecError for arguments that cannot be exported, before anything is opened."""
    if arguments.run is None:
        raise SpecError("no run is named", "the directory of a run", "cnntrain export outputs/…")
    if arguments.format is None:
        raise SpecError("no --format is given", ALL_FORMATS, "--format onnx")
    if arguments.quantize and arguments.format != "tflite":
        raise SpecError(
            f"--quantize {arguments.quantize} and --format {arguments.format} are both given",
            "a format with 8-bit operations",
            "--format tflite",
        )
    check_installed(arguments.format, ALL_FORMATS[arguments.format])


def choose_format(classifier: Classifier, name: str) -> ExportFormat:
    """Return the format `name`; raise SpecError if it cannot take the network of a run."""
    return make_page_format(classifier) if name == PAGE else FORMATS[name]


def choose_export_path(classifier: Classifier, arguments: Namespace) -> Path:
    """Return the path to export to; raise SpecError if it exists, or its folder does not."""
    name = str(read_network_config(classifier.file)["config"].get("name", "network"))
    stem = re.sub(r"[^\w-]+", "-", name)[:100].strip("-") or "network"
    stem = f"{stem}_{arguments.quantize}" if arguments.quantize else stem
    suffix = ALL_FORMATS[arguments.format].suffix
    if arguments.output is None:
        target = classifier.folder / "export" / f"{stem}{suffix}"
        home = target.parent
    else:
        target = expand_folder(arguments.output, "--output")
        home = target.parent
        if suffix and target.suffix != suffix:
            raise SpecError(f"--output is {arguments.output}", f"a file that ends in {suffix}")
        if not home.is_dir():
            command = f"mkdir -p {shlex.quote(str(home))}"
            raise SpecError(
                f"{home}, where --output goes, is not there", "a folder of yours", command
            )
    if arguments.format == "savedmodel":
        target /= str(find_next_version(target))
    elif target.exists():
        raise SpecError(f"{target} is there already", "a new file", "--output=PATH, or remove it")
    return target


def find_next_version(home: Path) -> int:
    """Return the number after the highest numbered folder; TensorFlow Serving takes the highest."""
    if home.is_file():
        raise SpecError(f"{home} is a file", "a folder for numbered versions")
    there = [int(path.name) for path in home.glob("*") if path.name.isdecimal()]
    return max(there, default=0) + 1


def print_export(
    parity: Parity, arguments: Namespace, classifier: Classifier, target: Path
) -> None:
    """Print the exported file, its size, and how near it is to the network."""
    files = [target] if target.is_file() else [p for p in target.rglob("*") if p.is_file()]
    size = sum(file.stat().st_size for file in files)
    if arguments.json:
        about = {"path": str(target), "format": arguments.format, "bytes": size}
        print(json.dumps(about | parity.list_facts()))
        return
    runtime = ALL_FORMATS[arguments.format].runtime
    shape = ", ".join(str(length) for length in classifier.image_shape)
    print(f"{target}: {size / 1e6:.2f} MB")
    print(
        f"images (B, {shape}) uint8 in, probabilities (B, {len(classifier.class_names)}) out, in "
        "the order of its labels"
    )
    print(f"in {runtime} {importlib.metadata.version(runtime)}, {parity}")
