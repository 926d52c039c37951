"""The parts of training images that a filter answers most (Zeiler & Fergus 2014, figure 2)."""

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnntrain.analysis.receptive_field import ReceptiveField
from cnntrain.data.inventory import is_dataset_here
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.inference.examples import abbreviate_names, load_examples
from cnntrain.terminal.progress import show_progress
from cnntrain.visualization import layer_names
from cnntrain.visualization.inspection import Inspection
from cnntrain.visualization.layer_outputs import (
    LayerOutput,
    compute_layer_outputs,
    find_middle_output,
)
from cnntrain.visualization.sections import Section, Tile, TileRow, render_colors


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


def find_strongest_patches(
    network: keras.Model,
    train: Examples,
    place: LayerOutput,
    channel: int,
    count: int,
    batch_size: int,
) -> list[Patch]:
    """Return the patch of each of the `count` images that excite a channel most, at one position.

    Where a position sees beyond the edge, the patch ends at the edge.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def peaks(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = compute_layer_outputs(network, images)[0][place.name][..., channel]
        flat = tf.reshape(tf.cast(maps, tf.float32), (tf.shape(maps)[0], -1))
        return tf.reduce_max(flat, axis=1), tf.argmax(flat, axis=1)

    starts = range(0, len(train), batch_size)
    chunks = [range(start, min(start + batch_size, len(train))) for start in starts]
    found = [
        [
            part.numpy()
            for part in peaks(tf.constant(train.gather_images(np.array(rows)), tf.float32))
        ]
        for rows in show_progress(chunks, len(train), "looking through training images")
    ]
    values, positions = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = np.argsort(-values, kind="stable")[:count]
    return [
        Patch(image, int(train.labels[row]), float(values[row]),
              locate_receptive_field(place, int(positions[row]), image.shape))
        for row, image in zip(best, train.gather_images(best), strict=True)
    ]  # fmt: skip


def locate_receptive_field(
    place: LayerOutput, position: int, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """The box of an image (H, W, C) that a position sees, counted along the rows of the maps."""
    (top, bottom), (left, right) = (
        locate_axis_edges(place.field, axis, at, shape[axis])
        for axis, at in enumerate(divmod(position, place.shape[1]))
    )
    return top, left, bottom, right


def locate_axis_edges(field: ReceptiveField, axis: int, at: int, length: int) -> tuple[int, int]:
    """Where what a position sees begins and ends along an axis of the image."""
    begin = field.start[axis] + at * field.stride[axis]
    first = min(max(0, math.floor(begin)), length - 1)
    return first, max(first + 1, min(length, math.ceil(begin + field.size[axis])))


PATCHES_SHOWN, MAX_SEARCHED_IMAGES, SAMPLE_SEED = (
    9,
    2000,
    0,
)  # the most training images that are looked through


def choose_layer_output(one: Inspection) -> LayerOutput | None:
    """The layer whose filter is looked for in training images; None without a convolution."""
    wanted = one.options.layer
    if wanted is None:
        return find_middle_output(one.layer_outputs, one.image.shape) if one.layer_outputs else None
    place = next((p for p in one.layer_outputs if p.name == wanted), None)
    if place is None:
        known = [p.name for p in one.layer_outputs if p.is_main] or ["none: it has no convolution"]
        raise SpecError(
            f"--layer is {wanted}, which puts out no maps", f"a layer of {abbreviate_names(known)}"
        )
    if one.options.channel is not None:
        layer_names.check_filter_number(wanted, one.options.channel, place.shape[-1])
    return place


def build_patch_section(one: Inspection, place: LayerOutput) -> Section:
    """Where a filter answers most: in the picture, and in training images."""
    values = one.feature_maps[place.name]
    channel = one.options.channel
    if channel is None:
        channel = int(values.max(axis=(0, 1)).argmax())
    answer = values[..., channel]
    top, left, bottom, right = locate_receptive_field(place, int(answer.argmax()), one.image.shape)
    here = [
        Tile(render_colors(answer), f"its map, up to {answer.max():.3g}"),
        Tile(one.image[top:bottom, left:right], "where it is highest"),
    ]
    size = "×".join(f"{side:.0f}" for side in place.field.size)
    text = (
        f"Filter {channel} of {place.name}. A position of its map sees {size} pixels of the "
        "picture; what is beyond the edge is left out. "
    )
    one.facts["filter"] = {"layer": place.name, "filter": channel, "field": place.field.size}
    found, more = collect_training_patches(one, place, channel)
    rows = [TileRow("this picture", here)] + ([TileRow("training images", found)] if found else [])
    return Section("patches", "What excites one filter most", text + more, rows, 6)


def collect_training_patches(
    one: Inspection, place: LayerOutput, channel: int
) -> tuple[list[Tile], str]:
    """The patches of training images that a filter answers most, and how they were found."""
    if not is_dataset_here(one.asked):
        return [], note_missing_images(one, f"not in data_dir={one.asked.data_dir}")
    try:
        train, _ = load_examples(one.classifier, one.asked, "train")
    except SpecError as error:
        return [], note_missing_images(one, error.given)
    rows, count = np.arange(len(train)), len(train)
    if count > MAX_SEARCHED_IMAGES:
        rows = np.sort(
            np.random.default_rng(SAMPLE_SEED).choice(count, MAX_SEARCHED_IMAGES, replace=False)
        )
    best = find_strongest_patches(
        one.network, train[rows], place, channel, PATCHES_SHOWN, one.asked.batch_size
    )
    one.facts["filter"] |= {
        "training_images": len(rows),
        "of": count,
        "highest": [{"class": one.names[p.label], "value": p.value, "box": p.box} for p in best],
    }
    drawn = f"{len(rows):,} of the {count:,}, drawn with seed {SAMPLE_SEED}"
    text = (
        f"Below, the {len(best)} training images in which it answers most, of "
        f"{drawn if len(rows) < count else f'all {count:,}'}: the patch at that position, its "
        "class and the answer."
    )
    return [Tile(p.pixels, f"{one.names[p.label]}, {p.value:.3g}") for p in best], text


def note_missing_images(one: Inspection, why: str) -> str:
    """Say that the training images are not here."""
    text = f"The training patches are left out: the run's data is not here ({why})."
    one.left_out.append(text)
    return f"{text} cnntrain look … data_dir=FOLDER says where it lies."
