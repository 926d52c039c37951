"""The picture, what classical and learnt filters make of it, and the maps through the layers."""

import numpy as np
from scipy.ndimage import correlate

from cnntrain.visualization.inspection import Sight
from cnntrain.visualization.layer_outputs import Place, first_convolution, stages
from cnntrain.visualization.sections import Row, Section, Tile, clipped, coloured, signed

LEARNT = 16  # filters of the first convolution
LAYERS, CHANNELS = 8, 8  # with maps, and of each
CHANNEL_NAMES = ("red", "green", "blue")


def the_picture(image: np.ndarray) -> Section:
    """The picture as the network gets it, and its channels."""
    height, width, channels = image.shape
    tiles = [Tile(image, "as the network gets it")]
    for number, name in enumerate(CHANNEL_NAMES if channels > 1 else ()):
        plane = image[..., number]
        tiles.append(Tile(plane[..., np.newaxis], f"{name}, mean {plane.mean():.0f} of 255"))
    text = f"{width}×{height} pixels, " + (
        "three channels, each shown as its brightness." if channels > 1 else "one channel, grey."
    )
    return Section("picture", "The picture", text, [Row("", tiles)])


def filters(one: Sight) -> Section:
    """What classical filters, and the first that the network has learnt, make of the picture."""
    rows = [Row("classical", classical(one.image))]
    text = (
        "Each response with its kernel under it. Black is 0, or grey is where there are negative "
        "values, too. The classical filters see the brightness."
    )
    first = first_convolution(one.places)
    if first is None and one.places:
        text += f" The kernels of the first convolution, {one.places[0].name}, are no pictures."
    if first is not None:
        rows.append(Row(f"learnt, {first.name}", learnt(first, one.maps[first.name])))
        shown, count = min(LEARNT, first.shape[-1]), first.shape[-1]
        text += (
            f" The learnt ones are {shown} of the {count} of {first.name}, those first whose "
            "response varies most over the picture."
        )
    return Section("filters", "Filters, classical and learnt", text, rows, 8)


def classical(image: np.ndarray) -> list[Tile]:
    """The responses of the classical filters; those whose weights add up to 0 are signed."""
    tiles = []
    for name, response in responses(image).items():
        kernel = np.array(KERNELS[name], np.float32)
        made = signed(response) if kernel.sum() == 0 else clipped(response)
        tiles.append(Tile(made, name, kernel[..., np.newaxis]))
    return tiles


def learnt(first: Place, responses: np.ndarray) -> list[Tile]:
    """The kernels of the first convolution, and what it makes (h, w, filters) of the picture."""
    kernels = np.moveaxis(np.asarray(first.operation.kernel, np.float32), -1, 0)
    order = strength(responses)[:LEARNT]
    return [Tile(signed(responses[..., n]), f"filter {n}", kernels[n]) for n in order]


def strength(responses: np.ndarray) -> np.ndarray:
    """The channels of maps (h, w, channels), those that vary most over the picture first."""
    return np.argsort(-responses.std(axis=(0, 1)), kind="stable")


def maps(one: Sight) -> Section:
    """The strongest channels of layers through the depth."""
    rows = []
    for place in stages(one.places, LAYERS):
        values = one.maps[place.name]
        height, width, channels = place.shape
        tiles = [Tile(coloured(values[..., n]), str(n)) for n in strength(values)[:CHANNELS]]
        rows.append(Row(f"{place.name}, {height}×{width}, {channels} channels", tiles))
    text = (
        f"From the picture to the classes: of each layer the {CHANNELS} channels that vary most "
        "over the picture, each from its lowest value, dark, to its highest."
    )
    return Section("maps", "Feature maps through the layers", text, rows, CHANNELS)


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


def grey(image: np.ndarray) -> np.ndarray:
    """The brightness (H, W) float64, 0 to 255, of an image (H, W, 1 or 3)."""
    return image[..., 0].astype(float) if image.shape[-1] == 1 else image @ np.array(LUMA)


def responses(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each kernel makes of an image (H, W, C) uint8: (H, W) float64.

    As networks do it, the kernel is not mirrored; beyond the edges the picture goes on as it ends.
    """
    picture = grey(image)
    return {
        name: correlate(picture, np.array(kernel, float), mode="nearest")
        for name, kernel in KERNELS.items()
    }
