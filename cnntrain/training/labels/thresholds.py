"""The probability from which on a class is in an image, chosen on the validation images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from cnntrain.analysis.label_scores import choose_thresholds, score_labels
from cnntrain.spec.metrics import HALF


def find_thresholds(log_odds: Mapping[str, np.ndarray], labels: np.ndarray | None) -> np.ndarray:
    """Return the thresholds (classes,) chosen on the validation images; a half without them.

    `log_odds` holds arrays (N, classes) by split, and `labels` (N, classes) are those of `valid`.
    """
    if labels is None:
        return np.full(log_odds["test"].shape[1], HALF)
    return choose_thresholds(expit(log_odds["valid"]), labels)


def tune_thresholds(
    log_odds: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the thresholds of some weights, as `thresholds` of the report has them.

    `log_odds` and `labels` hold arrays (N, classes) by split. The thresholds are those with the
    highest F1 of each class on the validation images, which measure them too well; the test images
    do not. An empty dict is returned without validation.
    """
    if "valid" not in log_odds:
        return {}
    probabilities = {part: expit(scores) for part, scores in log_odds.items()}
    values = find_thresholds(log_odds, labels["valid"])
    return {"classes": values.tolist()} | {
        part: score_labels(own, labels[part], values).at_thresholds()
        for part, own in probabilities.items()
    }
