"""The parts of training images that a filter answers most (Zeiler & Fergus 2014, figure 2)."""

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnntrain.analysis.receptive_field import Field
from cnntrain.data.inventory import is_here
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.inference.examples import examples, some
from cnntrain.terminal.progress import counted
from cnntrain.visualization import layer_names
from cnntrain.visualization.inspection import Sight
from cnntrain.visualization.layer_outputs import Place, middle, passed
from cnntrain.visualization.sections import Row, Section, Tile, coloured


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


PATCHES, SAMPLE, SEED = 9, 2000, 0  # the most training images that are looked through


def chosen_place(one: Sight) -> Place | None:
    """The layer whose filter is looked for in training images; None without a convolution."""
    wanted = one.wishes.layer
    if wanted is None:
        return middle(one.places, one.image.shape) if one.places else None
    place = next((p for p in one.places if p.name == wanted), None)
    if place is None:
        known = [p.name for p in one.places if p.is_main] or ["none: it has no convolution"]
        raise SpecError(f"--layer is {wanted}, which puts out no maps", f"a layer of {some(known)}")
    if one.wishes.channel is not None:
        layer_names.check_filter(wanted, one.wishes.channel, place.shape[-1])
    return place


def excitement(one: Sight, place: Place) -> Section:
    """Where a filter answers most: in the picture, and in training images."""
    values = one.maps[place.name]
    channel = one.wishes.channel
    if channel is None:
        channel = int(values.max(axis=(0, 1)).argmax())
    answer = values[..., channel]
    top, left, bottom, right = sees(place, int(answer.argmax()), one.image.shape)
    here = [
        Tile(coloured(answer), f"its map, up to {answer.max():.3g}"),
        Tile(one.image[top:bottom, left:right], "where it is highest"),
    ]
    size = "×".join(f"{side:.0f}" for side in place.field.size)
    text = (
        f"Filter {channel} of {place.name}. A position of its map sees {size} pixels of the "
        "picture; what is beyond the edge is left out. "
    )
    one.facts["filter"] = {"layer": place.name, "filter": channel, "field": place.field.size}
    found, more = of_training(one, place, channel)
    rows = [Row("this picture", here)] + ([Row("training images", found)] if found else [])
    return Section("patches", "What excites one filter most", text + more, rows, 6)


def of_training(one: Sight, place: Place, channel: int) -> tuple[list[Tile], str]:
    """The patches of training images that a filter answers most, and how they were found."""
    if not is_here(one.asked):
        return [], missing(one, f"not in data_dir={one.asked.data_dir}")
    try:
        train, _ = examples(one.classifier, one.asked, "train")
    except SpecError as error:
        return [], missing(one, error.given)
    rows, count = np.arange(len(train)), len(train)
    if count > SAMPLE:
        rows = np.sort(np.random.default_rng(SEED).choice(count, SAMPLE, replace=False))
    best = strongest(one.network, train[rows], place, channel, PATCHES, one.asked.batch_size)
    one.facts["filter"] |= {
        "training_images": len(rows),
        "of": count,
        "highest": [{"class": one.names[p.label], "value": p.value, "box": p.box} for p in best],
    }
    drawn = f"{len(rows):,} of the {count:,}, drawn with seed {SEED}"
    text = (
        f"Below, the {len(best)} training images in which it answers most, of "
        f"{drawn if len(rows) < count else f'all {count:,}'}: the patch at that position, its "
        "class and the answer."
    )
    return [Tile(p.pixels, f"{one.names[p.label]}, {p.value:.3g}") for p in best], text


def missing(one: Sight, why: str) -> str:
    """Say that the training images are not here."""
    text = f"The training patches are left out: the run's data is not here ({why})."
    one.left_out.append(text)
    return f"{text} cnntrain look … data_dir=FOLDER says where it lies."
