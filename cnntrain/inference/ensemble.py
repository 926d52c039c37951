"""The numbers of one network, or of several whose probabilities are averaged."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import (
    Mirrored,
    Undivided,
    examples,
    other_classes,
    which,
)
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import quiet


def check_alike(classifiers: Sequence[Classifier], specs: Sequence[Spec]) -> None:
    """Refuse runs that cannot be one ensemble: of other classes or of other images."""
    first = classifiers[0]
    for classifier, asked in zip(classifiers[1:], specs[1:], strict=True):
        if set(classifier.class_names) != set(first.class_names):
            raise other_classes(first, classifier.class_names, str(first.folder))
        one, other = which(specs[0]), which(asked)
        if differ := [key for key in {**one, **other} if one.get(key) != other.get(key)]:
            raise SpecError(
                f"{first.folder} and {classifier.folder} are of other images: dataset."
                + ", dataset.".join(differ),
                "runs of one data set, cut alike",
                "dataset=NAME, which shows all of them the same",
            )


def evaluated(
    classifiers: Sequence[Classifier],
    specs: Sequence[Spec],
    given: Namespace,
    epsilons: Sequence[float] | None,
) -> dict[str, Any]:
    """Load TensorFlow and say all that is to be said of the runs together."""
    with quiet():
        from cnntrain.inference.scores import scores
        from cnntrain.training.trainer import set_up

    first, asked = classifiers[0], specs[0]
    set_up(asked)
    members = [
        Member(classifier, own, given.split)
        for classifier, own in zip(classifiers, specs, strict=True)
    ]
    votes = [vote for member in members for vote in member.votes(first.class_names, given.flips)]
    found = {
        "runs": [str(classifier.folder) for classifier in classifiers],
        "weights": [classifier.weights for classifier in classifiers],
        "dataset": asked.dataset.knobs.get("tfds", asked.dataset.name),
        "split": given.split,
        "flips": given.flips,
        "notes": [note for member in members for note in member.notes()],
        **scores(together(votes), members[0].part.labels, first.class_names),
    }
    if epsilons is not None:
        from cnntrain.inference.fgsm import accuracies

        hit = accuracies(members[0].network, members[0].part, list(epsilons), asked.batch_size)
        pairs = zip(epsilons, hit, strict=True)
        found["fgsm"] = [{"epsilon": epsilon, "accuracy": share} for epsilon, share in pairs]
    return found


class Member:
    """One of the runs that are evaluated together: its network and the images it is shown."""

    def __init__(self, classifier: Classifier, asked: Spec, split: str):
        self.classifier, self.asked, self.split = classifier, asked, split
        self.part, self.splits = examples(classifier, asked, split)
        self.network = classifier.network()

    def votes(self, class_names: Sequence[str], flips: bool) -> list[np.ndarray]:
        """Logarithms of the probabilities (N, classes) in the order of `class_names`."""
        from cnntrain.training.evaluation import predicted

        columns = [self.classifier.class_names.index(name) for name in class_names]
        seen = [self.part]
        if flips:
            seen.append(replace(self.part, store=Mirrored(self.part.store)))
        return [predicted(self.network, part, self.asked.batch_size)[:, columns] for part in seen]

    def notes(self) -> list[str]:
        """What is unexpected: what the run was not told of its images, other pixels or images."""
        from cnntrain.data.fingerprint import fingerprint
        from cnntrain.data.photos.photo_cache import PIXELS

        data, folder = self.classifier.record.get("data", {}), self.classifier.folder
        notes = [note for note in self.splits.notes if note not in data.get("notes", ())]
        # Runs on arrays do not say it, nor do older ones, which do not say `images` either: theirs
        # were photos if the same data set has photos now.
        is_older = "images" not in data
        of_photos = is_older and self.asked.dataset.name == self.classifier.spec.dataset.name
        learnt = data.get("pixels", 0 if of_photos else None)
        if self.splits.digests is not None and learnt not in (None, PIXELS):
            notes.append(
                f"photos were made smaller in another way when {folder} was trained: it sees "
                "slightly other pixels than it has learnt from"
            )
        if isinstance(self.asked.dataset, Undivided):
            origin = self.splits.origin["test" if self.split == "train" else self.split]
            return [f"{len(self.part):,} images; {self.split}: {origin}", *notes]
        own, same = data.get("fingerprint"), self.asked.hash == self.classifier.spec.hash
        if same and own not in (None, fingerprint(self.splits)):
            notes.append(f"these are not the images that {folder} was trained on")
        return notes


def together(votes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the logarithm of the mean probabilities; of one vote, the vote itself."""
    if len(votes) == 1:
        return votes[0]
    return np.logaddexp.reduce(votes, axis=0) - np.log(len(votes))
