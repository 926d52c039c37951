"""`cnntrain evaluate`: how good finished runs are, alone or together, on their data or on other."""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.cli.parser import arguments
from cnntrain.errors import SpecError
from cnntrain.files.documents import finite, write_json
from cnntrain.files.paths import folder
from cnntrain.inference.classifier import Classifier, opened
from cnntrain.inference.examples import (
    Mirrored,
    Undivided,
    examples,
    other_classes,
    spec_for,
    which,
)
from cnntrain.runs.directory import WEIGHTS
from cnntrain.spec.places import check_places
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import quiet

USAGE = """\
usage: cnntrain evaluate RUN [RUN ...] [dataset=NAME] [dataset.KNOB=VALUE ...]

  Loss, accuracy with its 95 % interval, calibration, every class and what is taken for what, on
  the test split of the run's own data, or on another data set with classes of the same names: on
  its test part, or on all of it where it has no parts.
  Several runs are an ensemble: the mean of their probabilities. Nothing is written.

  --weights NAME    best (the default), final, ema or refit
  --split NAME      test (the default), valid or train
  --flips           the mean of each image and its mirror image
  --fgsm 1,2,4,8    accuracy when each pixel is moved so far, of 255, against the network
  --json            everything, for scripts
  --output FILE     the same into a new file"""


def main(words: Sequence[str]) -> int:
    """`cnntrain evaluate RUN...`: say how good the weights are; exit code 0."""
    parser = arguments("evaluate")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--weights", choices=WEIGHTS)
    parser.add_argument("--split", choices=["test", "valid", "train"], default="test")
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--fgsm")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print(USAGE)
        return 0
    paths, overrides = divided(given.words)
    output = new_file(given.output) if given.output is not None else None
    epsilons = None if given.fgsm is None else distances(given.fgsm, paths)
    classifiers = [opened(path, given.weights) for path in paths]
    specs = [spec_for(classifier, overrides, given.config_dir) for classifier in classifiers]
    check_alike(classifiers, specs)
    for asked in specs:
        check_places(asked.config)
    found = evaluated(classifiers, specs, given, epsilons)
    if output is not None:
        try:
            write_json(output, found)
        except OSError as error:
            what = f"--output is {output}, which cannot be written: {error.strerror or error}"
            raise SpecError(what, "a new file in a folder of yours, with room") from None
    if given.json:
        print(json.dumps(finite(found)))
    else:
        from cnntrain.inference.evaluate_report import say

        say(found)
    return 0


def divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The runs and the overrides among the words of a command."""
    paths = [word for word in words if "=" not in word or Path(word).exists()]
    if not paths:
        raise SpecError("no run is named", "the directory of a run", "cnntrain evaluate outputs/…")
    return paths, [word for word in words if word not in paths]


def new_file(text: str) -> Path:
    """A file that is not there yet, in a folder that is."""
    file = folder(text, "--output")
    if file.exists() or not file.parent.is_dir():
        what = "is there" if file.exists() else "has no folder to lie in"
        raise SpecError(f"--output is {text or 'empty'}, which {what}", "a new file")
    return file


def distances(text: str, paths: Sequence[str]) -> list[float]:
    """The epsilons of `--fgsm`, in 1/255 of the range of a pixel."""
    if len(paths) > 1:
        raise SpecError("--fgsm and several runs are given", "one run: the attack is on a network")
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 <= epsilon <= 255 for epsilon in found):
        raise SpecError(f"--fgsm is {text}", "numbers from 0 to 255", "--fgsm 1,2,4,8")
    return found


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
        from cnntrain.inference.adversarial import accuracies

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
