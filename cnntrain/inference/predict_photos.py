"""Predict the classes of photos, decoding the next chunk while the network sees the last one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnntrain.data.photos.decode import decode_chosen_photos, iterate_row_ranges, stack_photos
from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.photo import DecodedPhoto, Frame, Photos
from cnntrain.inference.familiarity import build_scoring_network, decide_labels, split_scores
from cnntrain.runs.calibration import Calibration
from cnntrain.terminal.progress import show_progress
from cnntrain.training.labels.kind import ONE_LABEL, LabelKind


@dataclass(frozen=True)
class Prediction:
    """The probabilities (classes,) of the photo `name`, or None and the reason it is `broken`.

    Of a calibrated network also the set of labels (classes,), boolean, and the unfamiliarity.
    """

    name: str
    probabilities: np.ndarray | None
    broken: str | None
    labels: np.ndarray | None = None
    unfamiliarity: float | None = None

    @property
    def is_refused(self) -> bool:
        """Whether no label is likely enough, or the photo is unlike those of training."""
        return self.labels is not None and not self.labels.any()


def predict_photos(
    network: keras.Model,
    photos: Photos,
    frame: Frame,
    findings: Findings,
    kind: LabelKind = ONE_LABEL,
    calibration: Calibration | None = None,
) -> Iterator[Prediction]:
    """Yield the prediction for each photo, in order, with its set of labels if it is calibrated.

    `frame` is the shape and pixel range of training, `kind` that of its labels. What is odd about a
    photo, such as damage, is added to `findings`.
    """

    def decode_rows(rows: range) -> list[DecodedPhoto | str]:
        return decode_chosen_photos(photos, rows, frame, [None] * len(rows))

    scoring = build_scoring_network(network, calibration.bank) if calibration else network
    yield from predict_pictures(
        scoring, photos.names, decode_rows, frame, findings, kind, calibration
    )


def predict_pictures(
    scoring: keras.Model,
    names: Sequence[str],
    decode_rows: Callable[[range], list[DecodedPhoto | str]],
    frame: Frame,
    findings: Findings,
    kind: LabelKind = ONE_LABEL,
    calibration: Calibration | None = None,
) -> Iterator[Prediction]:
    """Do what `predict_photos` does, for pictures of these names, wherever they come from.

    `scoring` is the network, with a `calibration` its scoring network. `decode_rows` returns those
    of some rows, and the reason as a string for each broken one.
    """
    with ThreadPoolExecutor(1) as ahead:
        chunks = list(iterate_row_ranges(len(names)))
        coming = ahead.submit(decode_rows, chunks[0])
        for number, rows in enumerate(show_progress(chunks, len(names), "predicting")):
            decoded = coming.result()
            if number + 1 < len(chunks):
                coming = ahead.submit(decode_rows, chunks[number + 1])
            images = stack_photos(decoded, frame)
            outputs = predict_padded(scoring, images, len(chunks[0]))
            batch = list_decisions(outputs, kind, calibration)
            for row, photo, decision in zip(rows, decoded, batch, strict=True):
                findings.add_photo(row, photo)
                if isinstance(photo, str):
                    yield Prediction(names[row], None, photo)
                else:
                    probabilities, *rest = decision
                    yield Prediction(names[row], probabilities, None, *rest)


def predict_padded(network: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the outputs (B, units) for images (B, H, W, C), at most `batch_size` of them."""
    # A short batch is padded: tracing the network's graph for another size would cost more.
    padding = [(0, batch_size - len(images)), (0, 0), (0, 0), (0, 0)]
    return network.predict_on_batch(np.pad(images, padding))[: len(images)]


def list_decisions(
    outputs: np.ndarray, kind: LabelKind, calibration: Calibration | None
) -> list[tuple[Any, ...]]:
    """Return for each image its probabilities and, if calibrated, its set and unfamiliarity.

    `outputs` (B, units) are logits, or if calibrated those of a scoring network.
    """
    if calibration is None:
        return [(row,) for row in kind.compute_probabilities(kind.compute_scores(outputs))]
    probabilities, unfamiliarity, sets = decide_labels(calibration, *split_scores(outputs))
    return list(zip(probabilities, sets, unfamiliarity.tolist(), strict=True))
