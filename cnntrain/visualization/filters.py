"""Sections of the picture, of its responses to filters, and of its feature maps in the layers."""

import numpy as np
from scipy.ndimage import correlate

from cnntrain.visualization.inspection import Inspection
from cnntrain.visualization.layer_outputs import LayerOutput, find_first_convolution, select_stages
from cnntrain.visualization.sections import (
    Section,
    Tile,
    TileRow,
    render_brightness,
    render_colors,
    render_signed_map,
)

LEARNT_FILTERS_SHOWN = 16  # filters of the first convolution
LAYERS_SHOWN, CHANNELS_SHOWN = 8, 8  # layers with feature maps, and channels of each
CHANNEL_NAMES = ("red", "green", "blue")


def build_picture_section(image: np.ndarray) -> Section:
    """Return a section of the picture (H, W, C) uint8 as the network gets it, and its channels."""
    height, width, channels = image.shape
    tiles = [Tile(image, "as the network gets it")]
    for number, name in enumerate(CHANNEL_NAMES if channels > 1 else ()):
        plane = image[..., number]
        tiles.append(Tile(plane[..., np.newaxis], f"{name}, mean {plane.mean():.0f} of 255"))
    text = f"{width}×{height} pixels, " + (
        "three channels, each shown as its brightness." if channels > 1 else "one channel, grey."
    )
    return Section("picture", "The picture", text, [TileRow("", tiles)])


def build_filter_section(inspection: Inspection) -> Section:
    """Return a section of the picture's responses to classical filters and the first learnt ones.

    The learnt filters are left out if their kernels cannot be shown as images.
    """
    rows = [TileRow("classical", build_classical_tiles(inspection.image))]
    text = (
        "Each response with its kernel under it. Black is 0, or grey is where there are negative "
        "values, too. The classical filters see the brightness."
    )
    first = find_first_convolution(inspection.layer_outputs)
    if first is None and inspection.layer_outputs:
        text += (
            f" The kernels of the first convolution, {inspection.layer_outputs[0].name}, cannot be "
            "shown as pictures."
        )
    if first is not None:
        rows.append(
            TileRow(
                f"learnt, {first.name}",
                build_learnt_tiles(first, inspection.feature_maps[first.name]),
            )
        )
        shown, count = min(LEARNT_FILTERS_SHOWN, first.shape[-1]), first.shape[-1]
        text += (
            f" The learnt filters are {shown} of the {count} of {first.name}, beginning with those "
            "whose response varies most over the picture."
        )
    return Section("filters", "Filters, classical and learnt", text, rows, 8)


def build_classical_tiles(image: np.ndarray) -> list[Tile]:
    """Return tiles of the responses of the classical filters to an image (H, W, C) uint8.

    Responses to a kernel whose weights add up to 0 can be negative, so that 0 is shown as grey.
    """
    tiles = []
    for name, response in apply_classical_filters(image).items():
        kernel = np.array(KERNELS[name], np.float32)
        tile_image = (
            render_signed_map(response) if kernel.sum() == 0 else render_brightness(response)
        )
        tiles.append(Tile(tile_image, name, kernel[..., np.newaxis]))
    return tiles


def build_learnt_tiles(first: LayerOutput, responses: np.ndarray) -> list[Tile]:
    """Return tiles of the kernels of the first convolution and their responses (h, w, filters)."""
    kernels = np.moveaxis(np.asarray(first.operation.kernel, np.float32), -1, 0)
    order = rank_channels(responses)[:LEARNT_FILTERS_SHOWN]
    return [Tile(render_signed_map(responses[..., n]), f"filter {n}", kernels[n]) for n in order]


def rank_channels(responses: np.ndarray) -> np.ndarray:
    """Return channel numbers of responses (h, w, channels), those that vary most first."""
    return np.argsort(-responses.std(axis=(0, 1)), kind="stable")


def build_feature_map_section(inspection: Inspection) -> Section:
    """Return a section of feature maps from the first layers to the last."""
    rows = []
    for output in select_stages(inspection.layer_outputs, LAYERS_SHOWN):
        values = inspection.feature_maps[output.name]
        height, width, channels = output.shape
        tiles = [
            Tile(render_colors(values[..., n]), str(n))
            for n in rank_channels(values)[:CHANNELS_SHOWN]
        ]
        rows.append(TileRow(f"{output.name}, {height}×{width}, {channels} channels", tiles))
    text = (
        f"From the picture on: of each layer, the {CHANNELS_SHOWN} channels that vary most over "
        "the picture. Dark is the lowest value of a channel, bright is its highest."
    )
    return Section("maps", "Feature maps through the layers", text, rows, CHANNELS_SHOWN)


KERNELS = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "blur": [[1 / 16, 1 / 8, 1 / 16], [1 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 1 / 16]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "Sobel, left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel, top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
}
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey (ITU-R BT.601)


def compute_brightness(image: np.ndarray) -> np.ndarray:
    """Return the brightness (H, W) float64, from 0 to 255, of an image (H, W, 1 or 3)."""
    return image[..., 0].astype(float) if image.shape[-1] == 1 else image @ np.array(LUMA)


def apply_classical_filters(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the response (H, W) float64 of an image (H, W, C) uint8 to each kernel, by its name.

    The kernel is not mirrored, as in networks. Beyond its edges the picture is continued by its
    outermost pixels.
    """
    brightness = compute_brightness(image)
    return {
        name: correlate(brightness, np.array(kernel, float), mode="nearest")
        for name, kernel in KERNELS.items()
    }
