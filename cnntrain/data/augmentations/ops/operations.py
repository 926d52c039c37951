"""The operations of learnt and random policies on whole batches, with the results of Pillow.

AutoAugment, RandAugment and TrivialAugment draw for each image which operations are done to it, and
how strongly. Each operation takes the images (B, H, W, C) that it was drawn for, with a magnitude
for each (B,); pointwise ones return tables of levels, geometric ones affine maps, and those are
applied to all images of their kind at once.
"""

from collections.abc import Callable, Mapping

import numpy as np

from cnntrain.data.augmentations.ops import color_tables
from cnntrain.data.augmentations.ops.color_tables import blended, grey, toned
from cnntrain.data.augmentations.ops.geometry import Interpolation, rotation, shear, shift, warp

Operation = Callable[[np.ndarray, np.ndarray], np.ndarray]


def perform(
    images: np.ndarray,
    names: np.ndarray,
    magnitudes: np.ndarray,
    fill: int,
    interpolation: Interpolation,
) -> np.ndarray:
    """Return images after the operations of these names and magnitudes, each (steps, B), in turn.

    `fill` is the grey level that geometric operations bring in from beyond the edges.
    """
    for step_names, step_magnitudes in zip(names, magnitudes, strict=True):
        images = perform_once(images, step_names, step_magnitudes, fill, interpolation)
    return images


def perform_once(
    images: np.ndarray,
    names: np.ndarray,
    magnitudes: np.ndarray,
    fill: int,
    interpolation: Interpolation,
) -> np.ndarray:
    """Return images after one operation each, of these names and magnitudes (B,)."""
    count, _, _, channels = images.shape
    result = images.copy()

    tables = np.empty((count, channels, 256), np.uint8)
    pointwise = each(TONES, images, names, magnitudes, tables)
    result[pointwise] = toned(images[pointwise], tables[pointwise])

    matrices = np.empty((count, 3, 3))
    moved = each(MAPS, images, names, magnitudes, matrices)
    result[moved] = warp(images[moved], matrices[moved], "constant", fill, interpolation)

    each(FILTERS, images, names, magnitudes, result)
    return result


def each(
    operations: Mapping[str, Operation],
    images: np.ndarray,
    names: np.ndarray,
    magnitudes: np.ndarray,
    results: np.ndarray,
) -> np.ndarray:
    """Put into `results` what these operations make of their images; return which have one."""
    for name in set(names.tolist()) & operations.keys():
        group = np.flatnonzero(names == name)
        results[group] = operations[name](images[group], magnitudes[group])
    return np.isin(names, list(operations))


def rotate(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Maps that turn by degrees, counter-clockwise."""
    return rotation(magnitudes)


def shear_x(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Maps that move each row left by so many pixels for each pixel that it lies below the top."""
    return shear(0, -magnitudes) @ shift(0, -magnitudes * images.shape[1] / 2)


def shear_y(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Maps that move each column up by so many pixels for each pixel right of the left edge."""
    return shear(-magnitudes, 0) @ shift(-magnitudes * images.shape[2] / 2, 0)


def translate_x(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Maps that move left by pixels."""
    return shift(0, -magnitudes)


def translate_y(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Maps that move up by pixels."""
    return shift(-magnitudes, 0)


def color(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Away from the grey image by a factor: 0 is grey, 1 the image. Grey images stay."""
    return blended(grey(images)[..., None], images, magnitudes[:, None, None, None])


def sharpness(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Away from the smoothed image by a factor: 0 is smooth, 1 the image."""
    return blended(smooth(images), images, magnitudes[:, None, None, None])


def smooth(images: np.ndarray) -> np.ndarray:
    """The mean of the 3x3 pixels around each, itself counted five times; the edges stay."""
    wide = images.astype(np.uint16)
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * wide[:, 1:-1, 1:-1]
    result = images.copy()
    result[:, 1:-1, 1:-1] = (2 * total + 13) // 26  # total / 13, to the nearest
    return result


TONES: dict[str, Operation] = {
    "autocontrast": color_tables.autocontrast,
    "equalize": color_tables.equalize,
    "invert": color_tables.invert,
    "solarize": color_tables.solarize,
    "posterize": color_tables.posterize,
    "contrast": color_tables.contrast,
    "brightness": color_tables.brightness,
}
MAPS: dict[str, Operation] = {
    "rotate": rotate,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}
FILTERS: dict[str, Operation] = {"color": color, "sharpness": sharpness}
