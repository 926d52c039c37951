"""The calibration of a run's weights: what makes its probabilities and its refusals honest.

calibration_best.json   temperature, threshold and limit, what they were fitted on, and what they
                        do to the test split; `best` is the name of the weights
calibration_best.npz    `bank`: features of training images, which familiar images are near to
"""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.errors import SpecError
from cnntrain.files.documents import explain_damage, read_mapping, write_json
from cnntrain.files.writing import replace_by_file
from cnntrain.runs.directory import WEIGHTS
from cnntrain.runs.strangers import READ_ERRORS, check_required_keys, check_types, read_arrays

FORMAT = 1
TYPES = {
    "format": int, "weights": str, "digest": str, "fingerprint": str, "images": int,
    "coverage": float, "temperature": float, "threshold": float, "limit": float,
    "interval": list[float], "test": dict,
}  # fmt: skip
NUMBERS = ("coverage", "temperature", "threshold", "limit")


@dataclass(frozen=True)
class Calibration:
    """How to read the outputs of a network so that a promise holds for images like those of valid.

    Probabilities are softmax(logits / temperature). The set of labels of an image are those with a
    probability of `threshold` or more; it is empty, "none of these", if there are none, or if the
    image is unfamiliar: if its features are farther than `limit` from all rows of `bank` (m,
    features). In the mean over all draws of the `images` that this was fitted on, `coverage` of the
    images like them have their label in the set. `digest` is that of the weights, `fingerprint`
    that of the images.
    """

    weights: str
    digest: str
    fingerprint: str
    images: int
    coverage: float
    temperature: float
    threshold: float
    limit: float
    bank: np.ndarray = field(repr=False, compare=False)

    def list_facts(self) -> dict[str, Any]:
        """Return everything but the bank, as a dict that JSON can hold."""
        facts = asdict(self)
        del facts["bank"]
        return {"format": FORMAT, **facts}

    def list_rule(self) -> dict[str, Any]:
        """Return what an exported network contains: how sets follow from its outputs."""
        facts = self.list_facts()
        del facts["limit"], facts["digest"]  # the graph has divided by the limit
        return facts | {
            "temperature_is_in_probabilities": True,
            "set": "the classes with probabilities >= threshold, if unfamiliarity <= 1; else none",
        }


def find_calibration_file(folder: Path, weights: str) -> Path:
    """Return the path that the calibration of some weights of a run has, if there is one."""
    return folder / f"calibration_{weights}.json"


def compute_weights_digest(file: Path) -> str:
    """Return the sha256 of the weights in a `.keras` file, whenever it was written."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open("model.weights.h5") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except READ_ERRORS as error:
        raise explain_damage(file, error) from None


def write_calibration(folder: Path, calibration: Calibration, measured: Mapping[str, Any]) -> Path:
    """Write a calibration into a run's folder, with what was measured; return the path of the JSON.

    An older one of the same weights is replaced.
    """
    file = find_calibration_file(folder, calibration.weights)
    with replace_by_file(file.with_suffix(".npz")) as out:
        np.savez_compressed(out, bank=calibration.bank)
    write_json(file, calibration.list_facts() | dict(measured))
    return file


def read_calibration_facts(folder: Path, weights: str) -> dict[str, Any] | None:
    """Return what the JSON of a calibration holds, or None if these weights have none.

    Raises SpecError if it is damaged, and if the weights are others by now.
    """
    file = find_calibration_file(folder, weights)
    if not file.is_file():
        return None
    facts = check_types(file, read_mapping(file), TYPES)
    check_required_keys(file, facts, [key for key in TYPES if key not in ("interval", "test")])
    if facts["format"] != FORMAT:
        raise explain_damage(file, f"it is in format {facts['format']}, a newer one than {FORMAT}")
    if any(facts[key] < 0 for key in NUMBERS) or not facts["temperature"] or not facts["limit"]:
        raise explain_damage(file, "its numbers are none of a calibration")
    if facts["digest"] != compute_weights_digest(folder / f"{weights}.keras"):
        raise SpecError(
            f"{file} belongs to other weights: {weights}.keras was trained on since",
            "a calibration of these weights, or --no-calibration",
            f"cnntrain evaluate {folder} --calibrate --weights {weights}",
        )
    return facts


def read_calibration(folder: Path, weights: str) -> Calibration | None:
    """Return the calibration of some weights of a run, or None if there is none.

    Raises SpecError if it is damaged, and if the weights are others by now.
    """
    facts = read_calibration_facts(folder, weights)
    if facts is None:
        return None
    file = find_calibration_file(folder, weights).with_suffix(".npz")
    arrays, reason = read_arrays(file)
    bank = arrays.get("bank", np.empty(0))
    if bank.ndim != 2 or bank.dtype != np.float32 or not bank.size or not np.isfinite(bank).all():
        raise explain_damage(file, reason or "it holds no bank of features")
    keys = ("weights", "digest", "fingerprint", "images", *NUMBERS)
    return Calibration(**{key: facts[key] for key in keys}, bank=bank)


def describe_risen_loss(images: int, test: Mapping[str, Any]) -> str:
    """Return a sentence if calibration on so many `images` has raised the test loss, else ""."""
    before, after = (f"{test[f'loss_{when}']:.4f}" for when in ("before", "after"))
    if float(after) <= float(before):
        return ""
    return (
        f"Warning: the calibration raises the loss on the test images from {before} to {after}: "
        f"{images:,} validation images are few to fit it to. A new run with a larger dataset.valid "
        "has more."
    )


def find_calibrated_weights(folder: Path) -> str | None:
    """Return the name of the weights of a run that are calibrated, the best if several are."""
    return next((name for name in WEIGHTS if find_calibration_file(folder, name).is_file()), None)
