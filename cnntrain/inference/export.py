"""`cnntrain export`: a network for other programs, run there before it gets its name."""

import contextlib
import importlib.metadata
import io
import json
import re
import shlex
import signal
import sys
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnntrain.cli.parser import arguments
from cnntrain.errors import Failure, SpecError
from cnntrain.files.paths import folder
from cnntrain.inference.agreement import CALIBRATED, CHECKED, Agreement, compared, spread
from cnntrain.inference.classifier import Classifier, opened
from cnntrain.inference.examples import examples, spec_for
from cnntrain.inference.formats import FORMATS, check_installed
from cnntrain.inference.safety import network_config
from cnntrain.runs.directory import WEIGHTS
from cnntrain.signals import Signals, terminate
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import quiet

USAGE = """\
usage: cnntrain export RUN --format savedmodel|onnx|tflite|keras [data_dir=…]

  Raw uint8 images in, probabilities out, the names of the classes inside. What was written is run
  in its own runtime on images of the run's test split, and must say what the network says; else
  nothing is left of it.

  --quantize int8   8-bit weights and activations (tflite), calibrated on training images; of
                    those that it is run on, at most 5 % may change their class
  --weights NAME    best (the default), final, ema or refit
  --output PATH     else RUN/export/NETWORK.onnx, and so on; of a savedmodel it is the folder that
                    holds the numbered versions: PATH/1
  --json            what was written, for scripts"""


def main(words: Sequence[str]) -> int:
    """`cnntrain export RUN --format F`: exit code 1 where what was written does not agree."""
    parser = arguments("export")
    parser.add_argument("run", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--quantize", choices=["int8"])
    parser.add_argument("--weights", choices=WEIGHTS)
    parser.add_argument("--output")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print(USAGE)
        return 0
    check(given)
    classifier = opened(given.run, given.weights)
    asked = spec_for(classifier, given.overrides, given.config_dir)
    target = place(classifier, given)
    signal.signal(signal.SIGTERM, terminate)
    try:
        found = exported(classifier, asked, given, target)
    except Failure as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    say(found, given, classifier, target)
    return 0


def check(given: Namespace) -> None:
    """Refuse what cannot be exported, before anything is opened."""
    if given.run is None:
        raise SpecError("no run is named", "the directory of a run", "cnntrain export outputs/…")
    if given.format is None:
        raise SpecError("no --format is given", FORMATS, "--format onnx")
    if given.quantize and given.format != "tflite":
        raise SpecError(
            f"--quantize {given.quantize} and --format {given.format} are both given",
            "a format with 8-bit operations",
            "--format tflite",
        )
    check_installed(given.format)


def place(classifier: Classifier, given: Namespace) -> Path:
    """The path of what is made, which is not there yet; its folder is."""
    name = str(network_config(classifier.file)["config"].get("name", "network"))
    stem = re.sub(r"[^\w-]+", "-", name)[:100].strip("-") or "network"
    stem = f"{stem}_{given.quantize}" if given.quantize else stem
    suffix = FORMATS[given.format].suffix
    if given.output is None:
        target = classifier.folder / "export" / f"{stem}{suffix}"
        home = target.parent
    else:
        target = folder(given.output, "--output")
        home = target.parent
        if suffix and target.suffix != suffix:
            raise SpecError(f"--output is {given.output}", f"a file that ends in {suffix}")
        if not home.is_dir():
            made = f"mkdir -p {shlex.quote(str(home))}"
            raise SpecError(f"{home}, where --output goes, is not there", "a folder of yours", made)
    if given.format == "savedmodel":
        target /= str(next_version(target))
    elif target.exists():
        raise SpecError(f"{target} is there already", "a new file", "--output=PATH, or remove it")
    return target


def next_version(home: Path) -> int:
    """One more than the highest of the numbered folders, of which a server takes the highest."""
    if home.is_file():
        raise SpecError(f"{home} is a file", "a folder for numbered versions")
    there = [int(path.name) for path in home.glob("*") if path.name.isdecimal()]
    return max(there, default=0) + 1


def exported(classifier: Classifier, asked: Spec, given: Namespace, target: Path) -> Agreement:
    """Write the network under a temporary name, run it, and give it its name if it agrees."""
    format = FORMATS[given.format]
    part, splits = examples(classifier, asked, "test")
    trained = classifier.network()
    network = with_probabilities(in_float32(trained) if format.only_float32 else trained)
    images = part.gather(spread(len(part), CHECKED))
    expected = network.predict(images, verbose=0)["probabilities"]
    calibration = None
    if given.quantize:
        calibration = splits.train.gather(spread(len(splits.train), CALIBRATED))
    with unfinished(target) as draft:
        try:
            with quietly(), Signals() as signals:  # converters die of exceptions from outside
                format.write(network, classifier.class_names, draft, calibration)
                found = compared(format.run(draft), images, expected)
        except Exception as error:  # converters raise anything
            said = str(error).strip().partition("\n")[0][:300]
            raise Failure(
                f"{classifier.file} cannot be exported as {given.format}: "
                f"{type(error).__name__}: {said}"
            ) from error
        signals.leave()
        if not found.is_close(given.quantize is not None):
            raise Failure(
                f"the {given.format} does not say what {classifier.file} says: {found}; "
                "nothing was left of it"
            )
    return found


def in_float32(network: Any) -> Any:
    """The same layers and weights, computing in float32 what was trained in fewer bits."""
    import keras

    def whole(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("class_name") == "DTypePolicy":
                return {**node, "config": {"name": "float32"}}
            return {key: whole(value) for key, value in node.items()}
        return [whole(value) for value in node] if isinstance(node, list | tuple) else node

    config = keras.saving.serialize_keras_object(network)
    twin = keras.saving.deserialize_keras_object(whole(config), safe_mode=True)
    twin.set_weights(network.get_weights())
    return twin


def with_probabilities(network: Any) -> Any:
    """The network with probabilities (B, classes), by name, in place of logits."""
    import keras
    from keras import ops

    images = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    logits = network(images)
    if logits.shape[-1] == 1:  # one unit: the first class has the logit 0
        logits = keras.layers.Concatenate()([ops.zeros_like(logits), logits])
    last = keras.layers.Softmax(dtype="float32", name="probabilities")
    return keras.Model(images, {"probabilities": last(logits)}, name=network.name)


@contextlib.contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target`, once the block is done; else nothing is left.

    It is a name in the working directory, which this is for the time: converters take the brackets
    and stars in the names of folders above for patterns.
    """
    made = [path for path in target.parents if not path.exists()]  # innermost first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        home = target.parent.absolute()
        with (
            tempfile.TemporaryDirectory(prefix=".unfinished_", dir=home) as folder,
            contextlib.chdir(folder),
        ):
            draft = Path(f"draft{target.suffix}")
            yield draft
            draft.rename(home / target.name)
    except OSError as error:
        remove(made)
        why = error.strerror or error
        what = f"{target} cannot be made: {why}"
        raise SpecError(what, "a folder of yours", "--output PATH") from error
    except BaseException:
        remove(made)
        raise


def remove(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):
        for path in folders:
            path.rmdir()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Hold back what converters print and warn of, pages of it where one fails."""
    failure = None
    with quiet(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:  # or what was held back would be shown
            failure = error
    if failure is not None:
        raise failure


def say(found: Agreement, given: Namespace, classifier: Classifier, target: Path) -> None:
    """Print what was written, how large it is, and how near it is to the network."""
    files = [target] if target.is_file() else [p for p in target.rglob("*") if p.is_file()]
    size = sum(file.stat().st_size for file in files)
    if given.json:
        about = {"path": str(target), "format": given.format, "bytes": size, **asdict(found)}
        print(json.dumps(about))
        return
    runtime = FORMATS[given.format].runtime
    shape = ", ".join(str(length) for length in classifier.image_shape)
    print(f"{target}: {size / 1e6:.2f} MB")
    print(
        f"images (B, {shape}) uint8 in, probabilities (B, {len(classifier.class_names)}) out, in "
        "the order of its labels"
    )
    print(f"in {runtime} {importlib.metadata.version(runtime)}, {found}")
