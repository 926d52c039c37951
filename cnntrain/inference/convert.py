"""A network written in another format, run there, and kept only where both say the same."""

import contextlib
import io
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cnntrain.errors import Failure, SpecError
from cnntrain.files.writing import UNFINISHED_PREFIX
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import load_examples
from cnntrain.inference.export_formats import FORMATS
from cnntrain.inference.parity import (
    CALIBRATION_IMAGES,
    CHECKED_IMAGES,
    Parity,
    compare_predictions,
    pick_spread_rows,
)
from cnntrain.signals import Signals
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr


def export_classifier(
    classifier: Classifier, asked: Spec, given: Namespace, target: Path
) -> Parity:
    """Write the network under a temporary name, run it, and give it its name if it agrees."""
    format = FORMATS[given.format]
    part, splits = load_examples(classifier, asked, "test")
    trained = classifier.load_network()
    network = add_softmax(convert_to_float32(trained) if format.only_float32 else trained)
    images = part.gather_images(pick_spread_rows(len(part), CHECKED_IMAGES))
    expected = network.predict(images, verbose=0)["probabilities"]
    calibration = None
    if given.quantize:
        calibration = splits.train.gather_images(
            pick_spread_rows(len(splits.train), CALIBRATION_IMAGES)
        )
    with open_draft_path(target) as draft:
        try:
            with (
                silence_converters(),
                Signals() as signals,
            ):  # converters die of exceptions from outside
                format.write(network, classifier.class_names, draft, calibration)
                found = compare_predictions(format.run(draft), images, expected)
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


def convert_to_float32(network: Any) -> Any:
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


def add_softmax(network: Any) -> Any:
    """The network with probabilities (B, classes), by name, in place of logits."""
    import keras
    from keras import ops

    images = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    logits = network(images)
    if logits.shape[-1] == 1:  # expand_single_logit, as a layer: it names a node of the export
        logits = keras.layers.Concatenate()([ops.zeros_like(logits), logits])
    last = keras.layers.Softmax(dtype="float32", name="probabilities")
    return keras.Model(images, {"probabilities": last(logits)}, name=network.name)


@contextlib.contextmanager
def open_draft_path(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target`, once the block is done; else nothing is left.

    It is a name in the working directory, which this is for the time: converters take the brackets
    and stars in the names of folders above for patterns.
    """
    made = [path for path in target.parents if not path.exists()]  # innermost first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        home = target.parent.absolute()
        with (
            tempfile.TemporaryDirectory(prefix=UNFINISHED_PREFIX, dir=home) as folder,
            contextlib.chdir(folder),
        ):
            draft = Path(f"draft{target.suffix}")
            yield draft
            draft.rename(home / target.name)  # it may be a folder
    except OSError as error:
        remove_created_folders(made)
        why = error.strerror or error
        what = f"{target} cannot be made: {why}"
        raise SpecError(what, "a folder of yours", "--output PATH") from error
    except BaseException:
        remove_created_folders(made)
        raise


def remove_created_folders(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):
        for path in folders:
            path.rmdir()


@contextlib.contextmanager
def silence_converters() -> Iterator[None]:
    """Hold back what converters print and warn of, pages of it where one fails."""
    failure = None
    with silence_stderr(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:  # or what was held back would be shown
            failure = error
    if failure is not None:
        raise failure
