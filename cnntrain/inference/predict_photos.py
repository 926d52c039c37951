"""Predict the classes of photos, decoding the next chunk while the network sees the last one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from cnntrain.data.photos.decode import decode_chosen_photos, iterate_row_ranges, stack_photos
from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.photo import DecodedPhoto, Frame, Photos
from cnntrain.terminal.progress import show_progress
from cnntrain.training.labels.kind import ONE_LABEL, LabelKind


@dataclass(frozen=True)
class Prediction:
    """The probabilities (classes,) of the photo `name`, or None and the reason it is `broken`."""

    name: str
    probabilities: np.ndarray | None
    broken: str | None


def predict_photos(
    network: keras.Model,
    photos: Photos,
    frame: Frame,
    findings: Findings,
    kind: LabelKind = ONE_LABEL,
) -> Iterator[Prediction]:
    """Yield the prediction for each photo, in order.

    `frame` is the shape and pixel range of training, `kind` that of its labels. What is odd about a
    photo, such as damage, is added to `findings`.
    """
    with ThreadPoolExecutor(1) as ahead:
        chunks = list(iterate_row_ranges(len(photos)))
        coming = ahead.submit(decode_chunk, photos, chunks[0], frame)
        for number, rows in enumerate(show_progress(chunks, len(photos), "predicting")):
            decoded = coming.result()
            if number + 1 < len(chunks):
                coming = ahead.submit(decode_chunk, photos, chunks[number + 1], frame)
            images = stack_photos(decoded, frame)
            batch = predict_probabilities(network, images, len(chunks[0]), kind)
            for row, photo, probabilities in zip(rows, decoded, batch, strict=True):
                findings.add_photo(row, photo)
                reason = photo if isinstance(photo, str) else None
                yield Prediction(photos.names[row], None if reason else probabilities, reason)


def decode_chunk(photos: Photos, rows: range, frame: Frame) -> list[DecodedPhoto | str]:
    """Return the decoded photos of `rows`, and for each broken one the reason as a string."""
    return decode_chosen_photos(photos, rows, frame, [None] * len(rows))


def predict_probabilities(
    network: keras.Model, images: np.ndarray, batch_size: int, kind: LabelKind
) -> np.ndarray:
    """Return probabilities (B, classes) for images (B, H, W, C), at most `batch_size` of them."""
    # A short batch is padded: tracing the network's graph for another size would cost more.
    padding = [(0, batch_size - len(images)), (0, 0), (0, 0), (0, 0)]
    logits = network.predict_on_batch(np.pad(images, padding))
    return kind.compute_probabilities(kind.compute_scores(logits[: len(images)]))
