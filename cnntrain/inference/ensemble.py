"""Evaluate the network of a run, or an ensemble of runs whose probabilities are averaged."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import (
    MirroredImages,
    UndividedDataset,
    explain_class_mismatch,
    load_examples,
    select_identity_settings,
)
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr


def check_same_images(classifiers: Sequence[Classifier], specs: Sequence[Spec]) -> None:
    """Raise SpecError if runs cannot be an ensemble: if their classes or their images differ."""
    first = classifiers[0]
    if len({classifier.has_several_labels for classifier in classifiers}) > 1:
        raise SpecError(
            "some runs are on images with one label each, others on images with several",
            "runs on the same kind of labels",
        )
    for classifier, spec in zip(classifiers[1:], specs[1:], strict=True):
        if set(classifier.class_names) != set(first.class_names):
            raise explain_class_mismatch(first, classifier.class_names, str(first.folder))
        first_settings, settings = map(select_identity_settings, (specs[0], spec))
        keys = {**first_settings, **settings}
        if differing := [key for key in keys if first_settings.get(key) != settings.get(key)]:
            raise SpecError(
                f"{first.folder} and {classifier.folder} have different images: dataset."
                + ", dataset.".join(differing),
                "runs with the same data set, divided in the same way",
                "dataset=NAME, to evaluate all of them on the same images",
            )


def evaluate_runs(
    classifiers: Sequence[Classifier],
    specs: Sequence[Spec],
    arguments: Namespace,
    epsilons: Sequence[float] | None,
) -> dict[str, Any]:
    """Return the metrics of runs as an ensemble, as a dict that JSON can hold.

    `specs` are the data to evaluate each run on, `arguments` the parsed command line with `split`,
    `flips` and `views`. With `epsilons`, distances in 1/255 of the pixel range, the result has the
    accuracy under an FGSM attack of each. Loads TensorFlow.
    """
    with silence_stderr():
        from cnntrain.inference.scores import score_label_predictions, score_predictions
        from cnntrain.training.devices.setup import configure_backend

    first, spec = classifiers[0], specs[0]
    configure_backend(spec)
    members = [
        EnsembleMember(classifier, member_spec, arguments.split)
        for classifier, member_spec in zip(classifiers, specs, strict=True)
    ]
    predictions = [
        prediction
        for member in members
        for prediction in member.predict_scores(first.class_names, arguments.flips, arguments.views)
    ]
    labels = members[0].examples.labels
    if first.has_several_labels:
        thresholds = np.mean([member.read_thresholds(first.class_names) for member in members], 0)
        found = score_label_predictions(
            average_log_odds(predictions), labels, first.class_names, thresholds
        )
    else:
        mean = average_log_probabilities(predictions)
        found = score_predictions(mean, labels, first.class_names)
    result = {
        "runs": [str(classifier.folder) for classifier in classifiers],
        "weights": [classifier.weights for classifier in classifiers],
        "dataset": spec.dataset.knobs.get("tfds", spec.dataset.name),
        "split": arguments.split,
        "flips": arguments.flips,
        "views": arguments.views,
        "notes": [note for member in members for note in member.collect_notes()],
        **found,
    }
    if epsilons is not None:
        from cnntrain.inference.fgsm import measure_adversarial_accuracies

        accuracies = measure_adversarial_accuracies(
            members[0].network, members[0].examples, list(epsilons), spec.batch_size
        )
        result["fgsm"] = [
            {"epsilon": epsilon, "accuracy": accuracy}
            for epsilon, accuracy in zip(epsilons, accuracies, strict=True)
        ]
    return result


class EnsembleMember:
    """One run of an ensemble: its network and the examples of a split to evaluate it on."""

    def __init__(self, classifier: Classifier, spec: Spec, split: str):
        self.classifier, self.spec, self.split = classifier, spec, split
        self.examples, self.splits = load_examples(classifier, spec, split)
        self.network = classifier.load_network()

    def predict_scores(
        self, class_names: Sequence[str], flips: bool, views: str
    ) -> list[np.ndarray]:
        """Return a list of log probabilities or log-odds (N, classes), in order of `class_names`.

        The first are those of the images, with logits averaged over `views`; with `flips`, those of
        the mirrored images follow.
        """
        from cnntrain.training.evaluation import predict_scores

        columns = [self.classifier.class_names.index(name) for name in class_names]
        shown = [self.examples]
        if flips:
            shown.append(replace(self.examples, store=MirroredImages(self.examples.store)))
        return [
            predict_scores(self.network, examples, self.spec.batch_size, views=views)[:, columns]
            for examples in shown
        ]

    def read_thresholds(self, class_names: Sequence[str]) -> list[float]:
        """Return the thresholds of the run, in the order of `class_names`."""
        own = dict(zip(self.classifier.class_names, self.classifier.read_thresholds(), strict=True))
        return [own[name] for name in class_names]

    def collect_notes(self) -> list[str]:
        """Return notes on how these images differ from those that the run was trained on."""
        from cnntrain.data.fingerprint import compute_fingerprint
        from cnntrain.data.photos.photo_cache import PIXELS_VERSION

        data, folder = self.classifier.record.get("data", {}), self.classifier.folder
        notes = [note for note in self.splits.notes if note not in data.get("notes", ())]
        if self.classifier.is_calibrated:
            notes.append(
                f"{folder} is calibrated, which predict and export use; here it is measured as it "
                "was trained"
            )
        # Only runs on photos record `pixels`, the version of the code that resizes them. Older runs
        # record neither it nor `images`: theirs were photos if the same data set has photos now.
        is_older = "images" not in data
        had_photos = is_older and self.spec.dataset.name == self.classifier.spec.dataset.name
        pixels_version = data.get("pixels", 0 if had_photos else None)
        if self.splits.names is not None and pixels_version not in (None, PIXELS_VERSION):
            notes.append(
                f"photos were resized in another way when {folder} was trained: the network sees "
                "slightly other pixels than it has learnt from"
            )
        if isinstance(self.spec.dataset, UndividedDataset):
            origin = self.splits.origin["test" if self.split == "train" else self.split]
            return [f"{len(self.examples):,} images; {self.split}: {origin}", *notes]
        fingerprint, is_same = data.get("fingerprint"), self.spec.hash == self.classifier.spec.hash
        if is_same and fingerprint not in (None, compute_fingerprint(self.splits)):
            notes.append(f"these are not the images that {folder} was trained on")
        return notes


def average_log_odds(log_odds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the log-odds (N, classes) of the mean of probabilities given as log-odds.

    A single array (N, classes) comes back as it is, without the rounding of an average.
    """
    if len(log_odds) == 1:
        return log_odds[0]
    present, absent = (
        np.logaddexp.reduce([-np.logaddexp(0, sign * z) for z in log_odds], axis=0)
        for sign in (-1, 1)
    )
    return present - absent


def average_log_probabilities(log_probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Return the logarithm (N, classes) of the mean of probabilities given as logarithms.

    A single array (N, classes) comes back as it is, without the rounding of an average.
    """
    if len(log_probabilities) == 1:
        return log_probabilities[0]
    return np.logaddexp.reduce(log_probabilities, axis=0) - np.log(len(log_probabilities))
