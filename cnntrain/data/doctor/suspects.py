"""Labels that are probably wrong, by the predictions of trained networks."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cnntrain.data.doctor.confident_learning import find_label_issues
from cnntrain.data.doctor.examination import Locator
from cnntrain.data.source import Splits
from cnntrain.data.verify import Occurrence


@dataclass(frozen=True)
class Predictions:
    """Probabilities (n, classes) of the images of all splits, and how they came about.

    `trained_on` (n,) says which images all networks were trained on: others are predicted only by
    networks that have not seen them. `notes` tell the user of runs whose data are others.
    """

    probabilities: np.ndarray
    trained_on: np.ndarray
    notes: list[str]


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong, the label suggested, and both probabilities.

    If it was `trained_on`, the network has learnt the given label, which is all the more suspect.
    """

    place: Occurrence
    suggested: str
    given_probability: float
    suggested_probability: float
    trained_on: bool

    @property
    def margin(self) -> float:
        """The probability of the given label less that of the suggested one, -1 to 0."""
        return self.given_probability - self.suggested_probability


@dataclass(frozen=True)
class LabelCheck:
    """The suspects, the surest first, of `images` images, of which `trained_on` were trained on.

    `estimates` are the numbers of wrong labels that the estimated joint distributions imply, of the
    images that were held out and of those trained on; None where there are none.
    """

    suspects: list[Suspect]
    images: int
    trained_on: int
    estimates: tuple[float | None, float | None]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "wrong_labels": [
                {**asdict(suspect.place), "suggested": suspect.suggested,
                 "given_probability": suspect.given_probability,
                 "suggested_probability": suspect.suggested_probability,
                 "trained_on": suspect.trained_on}
                for suspect in self.suspects
            ],
            "labels_checked": {
                "images": self.images,
                "trained_on": self.trained_on,
                "estimated_wrong_held_out": self.estimates[0],
                "estimated_wrong_trained_on": self.estimates[1],
                "notes": self.notes,
            },
        }  # fmt: skip


def find_suspects(splits: Splits, predictions: Predictions) -> LabelCheck:
    """Return the labels that are probably wrong.

    Images that were held out and images that were trained on are judged apart: a network is far
    surer of the latter, so that the classes' thresholds differ.
    """
    labels = np.concatenate([part.labels for _, part in splits.items()])
    locate, suspects, estimates = Locator(splits), list[Suspect](), list[float | None]()
    for trained_on in (False, True):
        own = np.flatnonzero(predictions.trained_on == trained_on)
        probabilities = predictions.probabilities[own]
        if not len(own):
            estimates.append(None)
            continue
        issues = find_label_issues(probabilities, labels[own])
        estimates.append(round(issues.estimate, 1))
        for example, suggested in zip(issues.examples, issues.suggested, strict=True):
            number = int(own[example])
            row = probabilities[example]
            suspects.append(
                Suspect(
                    locate(number),
                    splits.class_names[suggested],
                    round(float(row[labels[number]]), 4),
                    round(float(row[suggested]), 4),
                    trained_on,
                )
            )
    return LabelCheck(
        sorted(suspects, key=lambda suspect: suspect.margin),
        len(labels),
        int(predictions.trained_on.sum()),
        (estimates[0], estimates[1]),
        predictions.notes,
    )
