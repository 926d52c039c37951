"""The operations of learnt and random policies on whole batches, with the results of Pillow.

AutoAugment, RandAugment and TrivialAugment draw for each image which operations to apply and how
strongly. Each operation takes the images (B, H, W, C) for which it was drawn and their magnitudes
(B,). Pointwise operations return tables of levels, and geometric ones affine maps; these are then
applied to all images of their kind at once.
"""

from collections.abc import Callable, Mapping

import numpy as np

from cnntrain.data.augmentations.ops import color_tables
from cnntrain.data.augmentations.ops.color_tables import apply_tables, blend_levels, compute_luma
from cnntrain.data.augmentations.ops.geometry import (
    Interpolation,
    make_rotation,
    make_shear,
    make_shift,
    warp_images,
)

Operation = Callable[[np.ndarray, np.ndarray], np.ndarray]


def perform_operations(
    images: np.ndarray,
    names: np.ndarray,
    magnitudes: np.ndarray,
    fill: int,
    interpolation: Interpolation,
) -> np.ndarray:
    """Return images after the operations `names` of `magnitudes`, each (steps, B), one by one.

    `fill` is the grey level that geometric operations bring in from beyond the edges.
    """
    for step_names, step_magnitudes in zip(names, magnitudes, strict=True):
        images = perform_one_operation(images, step_names, step_magnitudes, fill, interpolation)
    return images


def perform_one_operation(
    images: np.ndarray,
    names: np.ndarray,
    magnitudes: np.ndarray,
    fill: int,
    interpolation: Interpolation,
) -> np.ndarray:
    """Return each image after one operation, given by its name and magnitude, each (B,)."""
    count, _, _, channels = images.shape
    result = images.copy()

    tables = np.empty((count, channels, 256), np.uint8)
    pointwise = apply_by_name(TONES, images, names, magnitudes, tables)
    result[pointwise] = apply_tables(images[pointwise], tables[pointwise])

    matrices = np.empty((count, 3, 3))
    moved = apply_by_name(MAPS, images, names, magnitudes, matrices)
    result[moved] = warp_images(images[moved], matrices[moved], "constant", fill, interpolation)

    apply_by_name(FILTERS, images, names, magnitudes, result)
    return result


def apply_by_name(
    operations: Mapping[str, Operation],
    images: np.ndarray,
    names: np.ndarray,
    magnitudes: np.ndarray,
    results: np.ndarray,
) -> np.ndarray:
    """Write into `results` what these operations return for their images.

    Returns for each image (B,) whether its name is one of the operations.
    """
    for name in set(names.tolist()) & operations.keys():
        group = np.flatnonzero(names == name)
        results[group] = operations[name](images[group], magnitudes[group])
    return np.isin(names, list(operations))


def make_rotate_maps(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Return maps that rotate counter-clockwise by degrees."""
    return make_rotation(magnitudes)


def make_shear_x_maps(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Return maps that move each row left, by the magnitude for each pixel below the top edge."""
    return make_shear(0, -magnitudes) @ make_shift(0, -magnitudes * images.shape[1] / 2)


def make_shear_y_maps(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Return maps that move each column up, by the magnitude for each pixel from the left edge."""
    return make_shear(-magnitudes, 0) @ make_shift(-magnitudes * images.shape[2] / 2, 0)


def make_translate_x_maps(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Return maps that move images left by pixels."""
    return make_shift(0, -magnitudes)


def make_translate_y_maps(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Return maps that move images up by pixels."""
    return make_shift(-magnitudes, 0)


def adjust_color(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Move colours away from the grey image by a factor: 0 is grey, 1 is the image.

    Grey images stay as they are.
    """
    return blend_levels(compute_luma(images)[..., None], images, magnitudes[:, None, None, None])


def adjust_sharpness(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Move images away from their smoothed version by a factor: 0 is smooth, 1 is the image."""
    return blend_levels(smooth_images(images), images, magnitudes[:, None, None, None])


def smooth_images(images: np.ndarray) -> np.ndarray:
    """Return the mean of the 3x3 pixels around each pixel, which counts five times itself.

    Pixels on the edges stay as they are.
    """
    wide = images.astype(np.uint16)
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * wide[:, 1:-1, 1:-1]
    result = images.copy()
    result[:, 1:-1, 1:-1] = (2 * total + 13) // 26  # total / 13, to the nearest
    return result


TONES: dict[str, Operation] = {
    "autocontrast": color_tables.autocontrast_levels,
    "equalize": color_tables.equalize_levels,
    "invert": color_tables.invert_levels,
    "solarize": color_tables.solarize_levels,
    "posterize": color_tables.posterize_levels,
    "contrast": color_tables.adjust_contrast,
    "brightness": color_tables.adjust_brightness,
}
MAPS: dict[str, Operation] = {
    "rotate": make_rotate_maps,
    "shear_x": make_shear_x_maps,
    "shear_y": make_shear_y_maps,
    "translate_x": make_translate_x_maps,
    "translate_y": make_translate_y_maps,
}
FILTERS: dict[str, Operation] = {"color": adjust_color, "sharpness": adjust_sharpness}
