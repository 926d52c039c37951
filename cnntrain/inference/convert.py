"""Export a network to another format, and keep the file only if both predict the same."""

import contextlib
import io
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.errors import Failure, SpecError
from cnntrain.files.writing import UNFINISHED_PREFIX
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import load_examples
from cnntrain.inference.export_formats import (
    PROBABILITIES,
    UNFAMILIARITY,
    ExportFormat,
    Labels,
)
from cnntrain.inference.parity import (
    QUANTIZING_IMAGES,
    Parity,
    compare_decisions,
    compare_predictions,
    pick_spread_rows,
)
from cnntrain.runs.calibration import Calibration
from cnntrain.signals import Signals
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr


def export_classifier(
    classifier: Classifier,
    spec: Spec,
    arguments: Namespace,
    format: ExportFormat,
    target: Path,
    calibration: Calibration | None = None,
) -> Parity:
    """Export a network to `target`; return how close its predictions are to the network's own.

    Quantization is that of the parsed command line. The file is written under a temporary name and
    run on images of the test split of `spec`. With a `calibration` it gives what `cnntrain predict`
    gives. Raises Failure, and leaves no file, if it cannot be written or gives something else than
    the network, and SpecError for a network that the format cannot express.
    """
    test, splits = load_examples(classifier, spec, "test")
    trained = classifier.load_network()
    if format.only_float32:
        trained = convert_to_float32(trained)
    thresholds = classifier.read_thresholds() if classifier.has_several_labels else None
    images = test.gather_images(pick_spread_rows(len(test), format.checked_images))
    activation = "softmax" if thresholds is None else "sigmoid"
    network, expected, *decisions = build_export_network(trained, activation, calibration, images)
    set_rule = None if calibration is None else calibration.list_rule()
    labels = Labels(classifier.class_names, thresholds, set_rule)
    shown = None
    if arguments.quantize or format.wants_training_images:
        shown = splits.train.gather_images(pick_spread_rows(len(splits.train), QUANTIZING_IMAGES))
    with open_draft_path(target) as draft:
        try:
            # Converters crash if a signal raises an exception within them.
            with silence_converters(), Signals() as signals:
                format.write(network, labels, draft, shown)
                parity = compare_predictions(format.run(draft), images, expected, thresholds)
                if calibration is not None:
                    runs = (format.run(draft), format.run(draft, UNFAMILIARITY))
                    parity = compare_decisions(parity, runs, images, decisions, calibration)
        except SpecError:
            raise
        except Exception as error:  # converters raise exceptions of any class
            reason = str(error).strip().partition("\n")[0][:300]
            raise Failure(
                f"{classifier.file} cannot be exported as {arguments.format}: "
                f"{type(error).__name__}: {reason}"
            ) from error
        signals.leave()
        quantized = arguments.quantize is not None
        if not parity.is_close(quantized):
            raise Failure(
                f"the {arguments.format} does not predict what {classifier.file} predicts: "
                f"{parity}; it was removed{parity.suggest_no_calibration(quantized)}"
            )
    return parity


def build_export_network(
    network: Any, activation: str, calibration: Calibration | None, images: np.ndarray
) -> tuple[Any, ...]:
    """Return the network to export, and the probabilities that `cnntrain predict` has for images.

    `activation` makes probabilities of logits (see `add_probabilities`). Of a calibrated network
    the unfamiliarities (N,) and sets of labels (N, classes) follow.
    """
    if calibration is None:
        exported = add_probabilities(network, activation)
        return exported, exported.predict(images, verbose=0)[PROBABILITIES]
    from cnntrain.inference import familiarity  # which loads TensorFlow

    scoring = familiarity.build_scoring_network(network, calibration.bank)
    scores = familiarity.split_scores(scoring.predict(images, verbose=0))
    exported = familiarity.add_calibrated_outputs(network, calibration)
    exported.predict(images[:1], verbose=0)  # Keras exports no network that was never called
    return exported, *familiarity.decide_labels(calibration, *scores)


def convert_to_float32(network: Any) -> Any:
    """Return a network with the same layers and weights whose layers all compute in float32."""
    import keras

    def replace_policies(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("class_name") == "DTypePolicy":
                return {**node, "config": {"name": "float32"}}
            return {key: replace_policies(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [replace_policies(value) for value in node]
        return node

    config = keras.saving.serialize_keras_object(network)
    twin = keras.saving.deserialize_keras_object(replace_policies(config), safe_mode=True)
    twin.set_weights(network.get_weights())
    return twin


def add_probabilities(network: Any, activation: str = "softmax") -> Any:
    """Return a network that puts out {"probabilities": (B, classes)} instead of logits.

    `activation` is softmax, or sigmoid where an image may have several labels.
    """
    import keras
    from keras import ops

    images = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    logits = network(images)
    if activation == "sigmoid":
        last = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITIES)
        return keras.Model(images, {PROBABILITIES: last(logits)}, name=network.name)
    if logits.shape[-1] == 1:  # expand_single_logit as a layer, which names a node of the export
        logits = keras.layers.Concatenate()([ops.zeros_like(logits), logits])
    last = keras.layers.Softmax(dtype="float32", name=PROBABILITIES)
    return keras.Model(images, {PROBABILITIES: last(logits)}, name=network.name)


@contextlib.contextmanager
def open_draft_path(target: Path) -> Iterator[Path]:
    """Yield a path to write to, and move what was written there to `target` after the block.

    If the block raises, nothing is left of it. The path is relative to a temporary working
    directory, because converters take brackets and stars in the names of parent folders for
    patterns. Raises SpecError if `target` cannot be written.
    """
    missing = [path for path in target.parents if not path.exists()]  # innermost first
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
        remove_created_folders(missing)
        what = f"{target} cannot be written: {error.strerror or error}"
        raise SpecError(what, "a folder of yours", "--output PATH") from error
    except BaseException:
        remove_created_folders(missing)
        raise


def remove_created_folders(folders: Sequence[Path]) -> None:
    """Remove folders, innermost first, up to the first one that is not empty."""
    with contextlib.suppress(OSError):
        for path in folders:
            path.rmdir()


@contextlib.contextmanager
def silence_converters() -> Iterator[None]:
    """Silence what converters print and warn of within the block: pages of it if one fails."""
    failure = None
    with silence_stderr(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:  # raised further down: silence_stderr prints what it held back
            failure = error
    if failure is not None:
        raise failure
