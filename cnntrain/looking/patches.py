"""The parts of training images that a filter answers most (Zeiler & Fergus 2014, figure 2)."""

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnntrain.analysis.receptive_field import Field
from cnntrain.data.source import Examples
from cnntrain.looking.inside import Place, passed
from cnntrain.terminal.progress import counted


@dataclass(frozen=True)
class Patch:
    """What one position of a map sees of an image: `box` is top, left, bottom, right in pixels."""

    image: np.ndarray  # (H, W, C) uint8
    label: int
    value: float  # what the filter puts out there
    box: tuple[int, int, int, int]

    @property
    def pixels(self) -> np.ndarray:
        top, left, bottom, right = self.box
        return self.image[top:bottom, left:right]


def strongest(
    network: keras.Model, train: Examples, place: Place, channel: int, count: int, batch_size: int
) -> list[Patch]:
    """Return the patch of each of the `count` images that excite a channel most, at one position.

    Where a position sees beyond the edge, the patch ends at the edge.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def peaks(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = passed(network, images)[0][place.name][..., channel]
        flat = tf.reshape(tf.cast(maps, tf.float32), (tf.shape(maps)[0], -1))
        return tf.reduce_max(flat, axis=1), tf.argmax(flat, axis=1)

    starts = range(0, len(train), batch_size)
    chunks = [range(start, min(start + batch_size, len(train))) for start in starts]
    found = [
        [part.numpy() for part in peaks(tf.constant(train.gather(np.array(rows)), tf.float32))]
        for rows in counted(chunks, len(train), "looking through training images")
    ]
    values, positions = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = np.argsort(-values, kind="stable")[:count]
    return [
        Patch(image, int(train.labels[row]), float(values[row]),
              sees(place, int(positions[row]), image.shape))
        for row, image in zip(best, train.gather(best), strict=True)
    ]  # fmt: skip


def sees(place: Place, position: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box of an image (H, W, C) that a position sees, counted along the rows of the maps."""
    (top, bottom), (left, right) = (
        edges(place.field, axis, at, shape[axis])
        for axis, at in enumerate(divmod(position, place.shape[1]))
    )
    return top, left, bottom, right


def edges(field: Field, axis: int, at: int, length: int) -> tuple[int, int]:
    """Where what a position sees begins and ends along an axis of the image."""
    begin = field.start[axis] + at * field.stride[axis]
    first = min(max(0, math.floor(begin)), length - 1)
    return first, max(first + 1, min(length, math.ceil(begin + field.size[axis])))
