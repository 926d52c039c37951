"""The picture, what classical and learnt filters make of it, and the maps through the layers."""

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
LAYERS_SHOWN, CHANNELS_SHOWN = 8, 8  # with maps, and of each
CHANNEL_NAMES = ("red", "green", "blue")


def build_picture_section(image: np.ndarray) -> Section:
    """The picture as the network gets it, and its channels."""
    height, width, channels = image.shape
    tiles = [Tile(image, "as the network gets it")]
    for number, name in enumerate(CHANNEL_NAMES if channels > 1 else ()):
        plane = image[..., number]
        tiles.append(Tile(plane[..., np.newaxis], f"{name}, mean {plane.mean():.0f} of 255"))
    text = f"{width}×{height} pixels, " + (
        "three channels, each shown as its brightness." if channels > 1 else "one channel, grey."
    )
    return Section("picture", "The picture", text, [TileRow("", tiles)])


def build_filter_section(one: Inspection) -> Section:
    """What classical filters, and the first that the network has learnt, make of the picture."""
    rows = [TileRow("classical", build_classical_tiles(one.image))]
    text = (
        "Each response with its kernel under it. Black is 0, or grey is where there are negative "
        "values, too. The classical filters see the brightness."
    )
    first = find_first_convolution(one.layer_outputs)
    if first is None and one.layer_outputs:
        text += (
            f" The kernels of the first convolution, {one.layer_outputs[0].name}, are no pictures."
        )
    if first is not None:
        rows.append(
            TileRow(
                f"learnt, {first.name}", build_learnt_tiles(first, one.feature_maps[first.name])
            )
        )
        shown, count = min(LEARNT_FILTERS_SHOWN, first.shape[-1]), first.shape[-1]
        text += (
            f" The learnt ones are {shown} of the {count} of {first.name}, those first whose "
            "response varies most over the picture."
        )
    return Section("filters", "Filters, classical and learnt", text, rows, 8)


def build_classical_tiles(image: np.ndarray) -> list[Tile]:
    """The responses of the classical filters; those whose weights add up to 0 are signed."""
    tiles = []
    for name, response in apply_classical_filters(image).items():
        kernel = np.array(KERNELS[name], np.float32)
        made = render_signed_map(response) if kernel.sum() == 0 else render_brightness(response)
        tiles.append(Tile(made, name, kernel[..., np.newaxis]))
    return tiles


def build_learnt_tiles(first: LayerOutput, responses: np.ndarray) -> list[Tile]:
    """The kernels of the first convolution, and what it makes (h, w, filters) of the picture."""
    kernels = np.moveaxis(np.asarray(first.operation.kernel, np.float32), -1, 0)
    order = rank_channels(responses)[:LEARNT_FILTERS_SHOWN]
    return [Tile(render_signed_map(responses[..., n]), f"filter {n}", kernels[n]) for n in order]


def rank_channels(responses: np.ndarray) -> np.ndarray:
    """The channels of maps (h, w, channels), those that vary most over the picture first."""
    return np.argsort(-responses.std(axis=(0, 1)), kind="stable")


def build_feature_map_section(one: Inspection) -> Section:
    """The strongest channels of layers through the depth."""
    rows = []
    for place in select_stages(one.layer_outputs, LAYERS_SHOWN):
        values = one.feature_maps[place.name]
        height, width, channels = place.shape
        tiles = [
            Tile(render_colors(values[..., n]), str(n))
            for n in rank_channels(values)[:CHANNELS_SHOWN]
        ]
        rows.append(TileRow(f"{place.name}, {height}×{width}, {channels} channels", tiles))
    text = (
        f"From the picture to the classes: of each layer the {CHANNELS_SHOWN} channels that "
        "vary most "
        "over the picture, each from its lowest value, dark, to its highest."
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
    """The brightness (H, W) float64, 0 to 255, of an image (H, W, 1 or 3)."""
    return image[..., 0].astype(float) if image.shape[-1] == 1 else image @ np.array(LUMA)


def apply_classical_filters(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each kernel makes of an image (H, W, C) uint8: (H, W) float64.

    As networks do it, the kernel is not mirrored; beyond the edges the picture goes on as it ends.
    """
    picture = compute_brightness(image)
    return {
        name: correlate(picture, np.array(kernel, float), mode="nearest")
        for name, kernel in KERNELS.items()
    }
