"""Photos -> probabilities: the next are decoded, as training did, while the network sees these."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from cnntrain.data.photos.decode import decode_chosen_photos, iterate_row_ranges, stack_photos
from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.photo import DecodedPhoto, Frame, Photos
from cnntrain.terminal.progress import show_progress
from cnntrain.training.evaluation import compute_log_probabilities


@dataclass(frozen=True)
class Prediction:
    """What a network says of a photo: the probabilities (classes,), or why there are none."""

    name: str
    probabilities: np.ndarray | None
    broken: str | None


def predict_photos(
    network: keras.Model, photos: Photos, frame: Frame, findings: Findings
) -> Iterator[Prediction]:
    """Yield what the network says of each photo, in their order; add what is odd to `findings`."""
    with ThreadPoolExecutor(1) as ahead:
        chunks = list(iterate_row_ranges(len(photos)))
        coming = ahead.submit(decode_chunk, photos, chunks[0], frame)
        for number, rows in enumerate(show_progress(chunks, len(photos), "predicting")):
            decoded = coming.result()
            if number + 1 < len(chunks):
                coming = ahead.submit(decode_chunk, photos, chunks[number + 1], frame)
            found = predict_probabilities(network, stack_photos(decoded, frame), len(chunks[0]))
            for row, photo, shares in zip(rows, decoded, found, strict=True):
                findings.add_photo(row, photo)
                why = photo if isinstance(photo, str) else None
                yield Prediction(photos.names[row], None if why else shares, why)


def decode_chunk(photos: Photos, rows: range, frame: Frame) -> list[DecodedPhoto | str]:
    """Return some photos as `frame` wants them, and for a broken one the reason."""
    return decode_chosen_photos(photos, rows, frame, [None] * len(rows))


def predict_probabilities(network: keras.Model, images: np.ndarray, room: int) -> np.ndarray:
    """Return (B, classes) for images (B, H, W, C); the graph is made for `room` of them."""
    padding = [(0, room - len(images)), (0, 0), (0, 0), (0, 0)]  # cheaper than another graph
    logits = network.predict_on_batch(np.pad(images, padding))
    return np.exp(compute_log_probabilities(logits[: len(images)]))
