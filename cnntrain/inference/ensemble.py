"""The numbers of one network, or of several whose probabilities are averaged."""

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
    """Refuse runs that cannot be one ensemble: of other classes or of other images."""
    first = classifiers[0]
    for classifier, asked in zip(classifiers[1:], specs[1:], strict=True):
        if set(classifier.class_names) != set(first.class_names):
            raise explain_class_mismatch(first, classifier.class_names, str(first.folder))
        one, other = select_identity_settings(specs[0]), select_identity_settings(asked)
        if differ := [key for key in {**one, **other} if one.get(key) != other.get(key)]:
            raise SpecError(
                f"{first.folder} and {classifier.folder} are of other images: dataset."
                + ", dataset.".join(differ),
                "runs of one data set, cut alike",
                "dataset=NAME, which shows all of them the same",
            )


def evaluate_runs(
    classifiers: Sequence[Classifier],
    specs: Sequence[Spec],
    given: Namespace,
    epsilons: Sequence[float] | None,
) -> dict[str, Any]:
    """Load TensorFlow and say all that is to be said of the runs together."""
    with silence_stderr():
        from cnntrain.inference.scores import score_predictions
        from cnntrain.training.trainer import configure_backend

    first, asked = classifiers[0], specs[0]
    configure_backend(asked)
    members = [
        EnsembleMember(classifier, own, given.split)
        for classifier, own in zip(classifiers, specs, strict=True)
    ]
    votes = [
        vote
        for member in members
        for vote in member.predict_log_probabilities(first.class_names, given.flips)
    ]
    found = {
        "runs": [str(classifier.folder) for classifier in classifiers],
        "weights": [classifier.weights for classifier in classifiers],
        "dataset": asked.dataset.knobs.get("tfds", asked.dataset.name),
        "split": given.split,
        "flips": given.flips,
        "notes": [note for member in members for note in member.collect_notes()],
        **score_predictions(
            average_log_probabilities(votes), members[0].part.labels, first.class_names
        ),
    }
    if epsilons is not None:
        from cnntrain.inference.fgsm import measure_adversarial_accuracies

        hit = measure_adversarial_accuracies(
            members[0].network, members[0].part, list(epsilons), asked.batch_size
        )
        pairs = zip(epsilons, hit, strict=True)
        found["fgsm"] = [{"epsilon": epsilon, "accuracy": share} for epsilon, share in pairs]
    return found


class EnsembleMember:
    """One of the runs that are evaluated together: its network and the images it is shown."""

    def __init__(self, classifier: Classifier, asked: Spec, split: str):
        self.classifier, self.asked, self.split = classifier, asked, split
        self.part, self.splits = load_examples(classifier, asked, split)
        self.network = classifier.load_network()

    def predict_log_probabilities(
        self, class_names: Sequence[str], flips: bool
    ) -> list[np.ndarray]:
        """Logarithms of the probabilities (N, classes) in the order of `class_names`."""
        from cnntrain.training.evaluation import predict_log_probabilities

        columns = [self.classifier.class_names.index(name) for name in class_names]
        seen = [self.part]
        if flips:
            seen.append(replace(self.part, store=MirroredImages(self.part.store)))
        return [
            predict_log_probabilities(self.network, part, self.asked.batch_size)[:, columns]
            for part in seen
        ]

    def collect_notes(self) -> list[str]:
        """What is unexpected: what the run was not told of its images, other pixels or images."""
        from cnntrain.data.fingerprint import compute_fingerprint
        from cnntrain.data.photos.photo_cache import PIXELS_VERSION

        data, folder = self.classifier.record.get("data", {}), self.classifier.folder
        notes = [note for note in self.splits.notes if note not in data.get("notes", ())]
        # Runs on arrays do not say it, nor do older ones, which do not say `images` either: theirs
        # were photos if the same data set has photos now.
        is_older = "images" not in data
        of_photos = is_older and self.asked.dataset.name == self.classifier.spec.dataset.name
        learnt = data.get("pixels", 0 if of_photos else None)
        if self.splits.digests is not None and learnt not in (None, PIXELS_VERSION):
            notes.append(
                f"photos were made smaller in another way when {folder} was trained: it sees "
                "slightly other pixels than it has learnt from"
            )
        if isinstance(self.asked.dataset, UndividedDataset):
            origin = self.splits.origin["test" if self.split == "train" else self.split]
            return [f"{len(self.part):,} images; {self.split}: {origin}", *notes]
        own, same = data.get("fingerprint"), self.asked.hash == self.classifier.spec.hash
        if same and own not in (None, compute_fingerprint(self.splits)):
            notes.append(f"these are not the images that {folder} was trained on")
        return notes


def average_log_probabilities(votes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the logarithm of the mean probabilities; of one vote, the vote itself."""
    if len(votes) == 1:
        return votes[0]
    return np.logaddexp.reduce(votes, axis=0) - np.log(len(votes))
