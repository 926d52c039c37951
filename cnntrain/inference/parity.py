"""Compare the predictions of an exported network with those of the network itself."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from cnntrain.runs.calibration import Calibration

CHECKED_IMAGES = 256  # images that an exported file is run on, spread over the test split
QUANTIZING_IMAGES = 200  # of the training split; more of them change the 8-bit ranges little
BATCH_SIZES = (1, 7, 32)  # batch sizes that an exported file is tried with
TOLERANCE = 1e-4  # the largest difference of a probability
# With 8 bits: the share of images that may change class, and the mean difference of a probability.
QUANTIZED_MAX_CHANGED, QUANTIZED_MAX_MEAN = 0.05, 0.05


@dataclass(frozen=True)
class Parity:
    """How much the probabilities of an exported network differ from the network's own.

    `images` were compared, and `changed` of them got another class or, where an image
    `may_have_several` labels, other labels at the thresholds. Of a calibrated network,
    `changed_sets` got another set of labels, and their distances from the images of training differ
    by `distance_difference` at most.
    """

    images: int
    largest_difference: float
    mean_difference: float
    changed: int
    may_have_several: bool = False
    changed_sets: int | None = None
    distance_difference: float | None = None

    def is_close(self, quantized: bool) -> bool:
        """Return whether the differences are small enough to keep the file."""
        if quantized:
            changed = max(self.changed, self.changed_sets or 0)
            allowed = QUANTIZED_MAX_CHANGED * self.images
            return changed <= allowed and self.mean_difference <= QUANTIZED_MAX_MEAN
        return all(
            difference <= TOLERANCE  # false for nan
            for difference in (self.largest_difference, self.distance_difference or 0)
        )

    def suggest_no_calibration(self, quantized: bool) -> str:
        """Return how to export a network of which only the sets of labels differ; else nothing."""
        alone = replace(self, changed_sets=None, distance_difference=None)
        return "; --no-calibration exports it without them" if alone.is_close(quantized) else ""

    def list_facts(self) -> dict[str, float]:
        """Return the numbers by name, without those that an uncalibrated network has not."""
        facts = asdict(self)
        del facts["may_have_several"]
        return {name: number for name, number in facts.items() if number is not None}

    def __str__(self) -> str:
        one, all_alike = "another class", "the same class"
        if self.may_have_several:
            one, all_alike = "other labels at the thresholds", "the same labels at the thresholds"
        other = f"{self.changed} have {one}" if self.changed else f"all have {all_alike}"
        if self.changed_sets is not None:
            other += f", {self.changed_sets or 'none'} another set of labels"
        return (
            f"probabilities of {self.images} images differ by {self.largest_difference:.1e} at "
            f"most, {self.mean_difference:.1e} on average; {other}"
        )


def compare_predictions(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    expected: np.ndarray,
    thresholds: Sequence[float] | None = None,
) -> Parity:
    """Compare what `run` predicts for images (N, H, W, C) uint8 with probabilities (N, classes).

    NaN is close to nothing. With `thresholds` (classes,) an image may have several labels.
    """
    probabilities = run_in_batches(run, images)
    differences = np.abs(probabilities - expected)
    if thresholds is None:
        is_changed = probabilities.argmax(axis=-1) != expected.argmax(axis=-1)
    else:
        found, before = probabilities >= thresholds, expected >= thresholds
        is_changed = (found != before).any(axis=-1)
    return Parity(
        len(images),
        float(differences.max()),
        float(differences.mean()),
        int(is_changed.sum()),
        may_have_several=thresholds is not None,
    )


def compare_decisions(
    parity: Parity,
    runs: Sequence[Callable[[np.ndarray], np.ndarray]],
    images: np.ndarray,
    expected: Sequence[np.ndarray],
    calibration: Calibration,
) -> Parity:
    """Return a parity with how unfamiliarities (N,) and sets of labels (N, classes) differ, too.

    `runs` give the probabilities and the unfamiliarity of images, `expected` are the unfamiliarity
    and the sets that `cnntrain predict` has for them.
    """
    probabilities, unfamiliarity = (run_in_batches(run, images) for run in runs)
    sets = probabilities >= calibration.threshold
    sets &= (unfamiliarity <= 1)[:, np.newaxis]
    off = calibration.limit * np.abs(unfamiliarity - expected[0])
    changed = (sets != expected[1]).any(axis=1)
    return replace(parity, changed_sets=int(changed.sum()), distance_difference=float(off.max()))


def run_in_batches(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return what `run` gives for images (N, H, W, C), in batches of BATCH_SIZES."""
    parts, start, size = [], 0, 0
    while start < len(images):
        size = next((wanted for wanted in BATCH_SIZES if wanted > size), size)
        parts.append(run(images[start : start + size]))
        start += size
    return np.concatenate(parts)


def pick_spread_rows(count: int, wanted: int) -> np.ndarray:
    """Return at most `wanted` row numbers, evenly spread over `count` rows."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(int))
