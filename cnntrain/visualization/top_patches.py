"""The patches of training images that excite a filter most (Zeiler & Fergus 2014, figure 2)."""

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnntrain.analysis.receptive_field import ReceptiveField
from cnntrain.data.labels import format_label
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.inference.examples import abbreviate_names
from cnntrain.terminal.progress import show_progress
from cnntrain.visualization import layer_names
from cnntrain.visualization.inspection import Inspection
from cnntrain.visualization.layer_outputs import (
    LayerOutput,
    compute_layer_outputs,
    find_middle_output,
)
from cnntrain.visualization.sections import Section, Tile, TileRow, render_colors

PATCHES_SHOWN = 9
MAX_SEARCHED_IMAGES, SAMPLE_SEED = 2000, 0  # of a larger training split, a sample is searched


@dataclass(frozen=True)
class Patch:
    """The part of an image that one position of a feature map sees."""

    image: np.ndarray  # (H, W, C) uint8
    label: np.ndarray  # of the image: see `Examples`
    value: float  # of the feature map at the position
    box: tuple[int, int, int, int]  # top, left, bottom, right in pixels

    @property
    def pixels(self) -> np.ndarray:
        top, left, bottom, right = self.box
        return self.image[top:bottom, left:right]


def find_strongest_patches(
    network: keras.Model,
    train: Examples,
    output: LayerOutput,
    channel: int,
    count: int,
    batch_size: int,
) -> list[Patch]:
    """Return a patch of each of the `count` training images with the highest values of a channel.

    The patch is what the position of the image's highest value sees; it ends at the image's edge.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def find_peaks(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = compute_layer_outputs(network, images)[0][output.name][..., channel]
        flat = tf.reshape(tf.cast(maps, tf.float32), (tf.shape(maps)[0], -1))
        return tf.reduce_max(flat, axis=1), tf.argmax(flat, axis=1)

    starts = range(0, len(train), batch_size)
    chunks = [range(start, min(start + batch_size, len(train))) for start in starts]
    peaks = [
        [
            tensor.numpy()
            for tensor in find_peaks(tf.constant(train.gather_images(np.array(rows)), tf.float32))
        ]
        for rows in show_progress(chunks, len(train), "looking through training images")
    ]
    values, positions = (np.concatenate(parts) for parts in zip(*peaks, strict=True))
    best = np.argsort(-values, kind="stable")[:count]
    return [
        Patch(image, train.labels[row], float(values[row]),
              locate_receptive_field(output, int(positions[row]), image.shape))
        for row, image in zip(best, train.gather_images(best), strict=True)
    ]  # fmt: skip


def locate_receptive_field(
    output: LayerOutput, position: int, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return the box (top, left, bottom, right) in pixels that a position of a map sees.

    `shape` is that of the image (H, W, C). Positions are numbered along the rows of the map.
    """
    (top, bottom), (left, right) = (
        locate_axis_edges(output.field, axis, index, shape[axis])
        for axis, index in enumerate(divmod(position, output.shape[1]))
    )
    return top, left, bottom, right


def locate_axis_edges(field: ReceptiveField, axis: int, index: int, length: int) -> tuple[int, int]:
    """Return where the receptive field of position `index` begins and ends along an axis.

    Both are pixels within the `length` of the image along the axis, with at least one between them.
    """
    begin = field.start[axis] + index * field.stride[axis]
    first = min(max(0, math.floor(begin)), length - 1)
    return first, max(first + 1, min(length, math.ceil(begin + field.size[axis])))


def choose_layer_output(inspection: Inspection) -> LayerOutput | None:
    """Return the layer with the filter to look for in training images.

    It is the one of the options, or else one in the middle; None for a network without convolution.
    Raises SpecError if the requested layer has no feature maps, or not the requested filter.
    """
    name = inspection.options.layer
    if name is None:
        return (
            find_middle_output(inspection.layer_outputs, inspection.image.shape)
            if inspection.layer_outputs
            else None
        )
    output = next((o for o in inspection.layer_outputs if o.name == name), None)
    if output is None:
        names = [o.name for o in inspection.layer_outputs if o.is_main] or [
            "none: it has no convolution"
        ]
        raise SpecError(
            f"--layer is {name}, which has no feature maps", f"a layer of {abbreviate_names(names)}"
        )
    if inspection.options.channel is not None:
        layer_names.check_filter_number(name, inspection.options.channel, output.shape[-1])
    return output


def build_patch_section(inspection: Inspection, output: LayerOutput) -> Section:
    """Return a section on one filter: where it is excited most, here and in training images.

    The filter is the one of the options, or else the one that this picture excites most. Adds the
    fact `filter` to the inspection.
    """
    maps = inspection.feature_maps[output.name]
    channel = inspection.options.channel
    if channel is None:
        channel = int(maps.max(axis=(0, 1)).argmax())
    own = maps[..., channel]
    top, left, bottom, right = locate_receptive_field(
        output, int(own.argmax()), inspection.image.shape
    )
    here = [
        Tile(render_colors(own), f"its map, up to {own.max():.3g}"),
        Tile(inspection.image[top:bottom, left:right], "where it is highest"),
    ]
    size = "×".join(f"{side:.0f}" for side in output.field.size)
    text = (
        f"Filter {channel} of {output.name}. A position of its map sees {size} pixels of the "
        "picture; what lies beyond the edge is left out. "
    )
    inspection.facts["filter"] = {
        "layer": output.name,
        "filter": channel,
        "field": output.field.size,
    }
    tiles, note = collect_training_patches(inspection, output, channel)
    rows = [TileRow("this picture", here)] + ([TileRow("training images", tiles)] if tiles else [])
    return Section("patches", "What excites one filter most", text + note, rows, 6)


def collect_training_patches(
    inspection: Inspection, output: LayerOutput, channel: int
) -> tuple[list[Tile], str]:
    """Return tiles of the training patches that excite a filter most, and a text about them.

    Without the training images there are no tiles, and the text says so. Adds to the fact `filter`
    of the inspection.
    """
    try:
        train = inspection.subject.load_training_images()
    except SpecError as error:
        return [], note_missing_images(inspection, error.given)
    rows, count = np.arange(len(train)), len(train)
    if count > MAX_SEARCHED_IMAGES:
        rows = np.sort(
            np.random.default_rng(SAMPLE_SEED).choice(count, MAX_SEARCHED_IMAGES, replace=False)
        )
    patches = find_strongest_patches(
        inspection.network,
        train[rows],
        output,
        channel,
        PATCHES_SHOWN,
        inspection.subject.batch_size,
    )
    inspection.facts["filter"] |= {
        "training_images": len(rows),
        "of": count,
        "highest": [
            {
                "class": format_label(patch.label, inspection.names),
                "value": patch.value,
                "box": patch.box,
            }
            for patch in patches
        ],
    }
    sample = f"{len(rows):,} of the {count:,}, drawn with seed {SAMPLE_SEED}"
    text = (
        f"Below, the {len(patches)} training images that excite it most, of "
        f"{sample if len(rows) < count else f'all {count:,}'}: the patch where its map is highest, "
        "the class of the image, and that highest value."
    )
    tiles = [
        Tile(p.pixels, f"{format_label(p.label, inspection.names)}, {p.value:.3g}") for p in patches
    ]
    return tiles, text


def note_missing_images(inspection: Inspection, reason: str) -> str:
    """Add to the inspection's `left_out` that the training images are missing; return a text."""
    is_run = "run" in inspection.subject.facts
    owner = "the run's data is" if is_run else "the training images are"
    text = f"The training patches are left out: {owner} not here ({reason})."
    inspection.left_out.append(text)
    return f"{text} Name its folder by cnntrain look … data_dir=FOLDER." if is_run else text
