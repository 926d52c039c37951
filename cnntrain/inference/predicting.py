"""Photos -> probabilities: the next are decoded, as training did, while the network sees these."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from cnntrain.datasets.decoding import POOL, chunked, pixels, reason
from cnntrain.datasets.photos import Frame, Header, Photos, plain_jpeg
from cnntrain.datasets.waiting import counted
from cnntrain.evaluation import log_probabilities


@dataclass(frozen=True)
class Prediction:
    """What a network says of a photo: the probabilities (classes,), or why there are none."""

    name: str
    probabilities: np.ndarray | None
    broken: str | None


def predictions(network: keras.Model, photos: Photos, frame: Frame) -> Iterator[Prediction]:
    """Yield what the network says of each photo, in their order."""
    with ThreadPoolExecutor(1) as ahead:
        chunks = list(chunked(len(photos)))
        coming = ahead.submit(decoded, photos, chunks[0], frame)
        for number, rows in enumerate(counted(chunks, len(photos), "predicting")):
            images, broken = coming.result()
            if number + 1 < len(chunks):
                coming = ahead.submit(decoded, photos, chunks[number + 1], frame)
            found = probabilities(network, images, len(chunks[0]))
            for place, row in enumerate(rows):
                why = broken.get(place)
                yield Prediction(photos.names[row], None if why else found[place], why)


def probabilities(network: keras.Model, images: np.ndarray, room: int) -> np.ndarray:
    """Return (B, classes) for images (B, H, W, C); the graph is made for `room` of them."""
    padding = [(0, room - len(images)), (0, 0), (0, 0), (0, 0)]  # cheaper than another graph
    logits = network.predict_on_batch(np.pad(images, padding))
    return np.exp(log_probabilities(logits[: len(images)]))


def decoded(photos: Photos, rows: range, frame: Frame) -> tuple[np.ndarray, dict[int, str]]:
    """Return some photos as images (B, H, W, C) uint8, and place -> why for the broken ones."""
    contents, headers, reasons = zip(*POOL.map(lambda row: read(photos, row), rows), strict=True)
    images, broken = pixels(contents, headers, frame)
    return images, {place: reasons[place] or why for place, why in broken.items()}


def read(photos: Photos, row: int) -> tuple[bytes, Header | None, str | None]:
    """A file, what it says of itself if it is a plain JPEG, and why it cannot be used."""
    try:
        content = photos.read(row)
        return content, plain_jpeg(content), None
    except Exception as error:  # a broken file may raise anything
        return b"", None, reason(error)
