"""Predict all images of a data set by runs that were trained on parts of it, out of fold.

What a run was trained on is known by the contents of its images, whatever its splits were.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnntrain.data.doctor.suspects import Predictions
from cnntrain.data.fingerprint import LISTING, compute_fingerprint
from cnntrain.data.load import load_splits
from cnntrain.data.photos.photo import Frame
from cnntrain.data.source import Splits
from cnntrain.data.verify import hash_examples
from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier, open_classifier
from cnntrain.inference.examples import PATH_KEYS, explain_class_mismatch
from cnntrain.runs.results import gather_results
from cnntrain.spec.build import build_spec
from cnntrain.spec.places import check_data_paths
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr

BATCH_SIZE = 64  # images that are predicted at once
# Settings that need no pixels kept: each image is predicted once.
READ_ONCE = {"cache": "none", "scan": "all"}


def open_runs(paths: Sequence[str]) -> list[Classifier]:
    """Return the classifiers of runs, and of all finished jobs of sweeps.

    Raises SpecError where a path is neither.
    """
    folders = [result.folder for result in gather_results([Path(path) for path in paths])]
    return [open_classifier(str(folder)) for folder in folders]


def predict_held_out(classifiers: Sequence[Classifier], spec: Spec, splits: Splits) -> Predictions:
    """Return the probabilities of all classes for all images of the splits of a spec.

    An image is predicted by the mean of those networks that were not trained on it, and by the mean
    of all if there is none. Raises SpecError for runs with other classes. Loads TensorFlow.
    """
    for classifier in classifiers:
        if set(classifier.class_names) != set(splits.class_names):
            raise explain_class_mismatch(classifier, splits.class_names, str(classifier.folder))
    with silence_stderr():
        from cnntrain.training.devices.setup import configure_backend
    configure_backend(spec)
    count = sum(len(part) for _, part in splits.items())
    sums = np.zeros((2, count, len(splits.class_names)), np.float32)  # held out, trained on
    votes = np.zeros((2, count), np.int32)
    notes, loaded = list[str](), dict[Frame, Splits]()
    for classifier in classifiers:
        if classifier.frame not in loaded:  # the runs of a sweep share it
            loaded = {classifier.frame: load_splits(frame_spec(spec, classifier))}
        shown = loaded[classifier.frame]
        own = load_splits(recall_spec(spec, classifier))
        trained_on = find_trained_images(shown, own)
        notes += describe_own_images(classifier, own, trained_on)
        which, everyone = trained_on.astype(int), np.arange(count)
        sums[which, everyone] += predict_probabilities_of_all(classifier, shown)
        votes[which, everyone] += 1
    is_seen = votes[0] == 0
    chosen, everyone = is_seen.astype(int), np.arange(count)
    means = sums[chosen, everyone] / votes[chosen, everyone][:, np.newaxis]
    return Predictions(means, is_seen, notes)


def frame_spec(spec: Spec, classifier: Classifier) -> Spec:
    """Return the spec of the same images, in the shape and with the pixels that a network takes."""
    height, width, channels = classifier.image_shape
    own = classifier.spec.dataset
    frame = {"image_size": [height, width], "channels": channels, "resize": own["resize"]}
    value_range = own["value_range"]
    if value_range is not None:
        frame["value_range"] = list(value_range) if isinstance(value_range, tuple) else value_range
    return build_spec({**spec.config, "dataset": {**spec.config["dataset"], **frame, **READ_ONCE}})


def recall_spec(spec: Spec, classifier: Classifier) -> Spec:
    """Return the spec of a run's own images.

    Those that are not any more where they lay are taken from where those of `spec` lie, if both are
    of the same kind of data set. Raises SpecError if they are in neither place.
    """
    dataset = {**classifier.config["dataset"], **READ_ONCE}
    if classifier.spec.dataset.name != spec.dataset.name:
        own = build_spec({**classifier.config, "dataset": dataset})
        check_data_paths(own.config)
        return own
    folders = {key: spec.config[key] for key in ("data_dir", "manual_dir")}
    own = build_spec({**classifier.config, **folders, "dataset": dataset})
    try:
        check_data_paths(own.config)
    except SpecError:
        paths = {key: spec.config["dataset"][key] for key in PATH_KEYS if key in dataset}
        return build_spec({**classifier.config, **folders, "dataset": {**dataset, **paths}})
    return own


def find_trained_images(shown: Splits, own: Splits) -> np.ndarray:
    """Return which of the shown images (n,) are training images of `own`, by their contents.

    Raises SpecError if one has photos in files and the other an array, which share no contents.
    """
    if (shown.digests is None) != (own.digests is None):
        raise SpecError(
            "the run was trained on images of another kind: photos in files, or an array of them",
            "the data set that it was trained on",
        )
    learnt = hash_examples(own.train, own.digests)
    return np.concatenate(
        [np.isin(hash_examples(part, shown.digests), learnt) for _, part in shown.items()]
    )


def describe_own_images(classifier: Classifier, own: Splits, trained_on: np.ndarray) -> list[str]:
    """Return notes on a run whose images are not those that it was trained on, or none of these."""
    recorded = classifier.record.get("data", {}).get("fingerprint")
    is_known = recorded is not None and not recorded.startswith(LISTING)
    if is_known and recorded != compute_fingerprint(own):
        return [
            f"Warning: the images of {classifier.folder} have changed since it was trained: which "
            "of them it has learnt is not certain"
        ]
    if not trained_on.any():
        return [f"{classifier.folder} has been trained on none of these images"]
    return []


def predict_probabilities_of_all(classifier: Classifier, shown: Splits) -> np.ndarray:
    """Return the probabilities (n, classes) of the images of all splits, in the splits' order."""
    from cnntrain.training.evaluation import predict_scores

    columns = [classifier.class_names.index(name) for name in shown.class_names]
    network = classifier.load_network()
    parts = [
        np.exp(predict_scores(network, part, BATCH_SIZE))[:, columns]
        for _, part in shown.items()
        if len(part)
    ]
    return np.concatenate(parts).astype(np.float32)
