"""Affine maps of colours: brightness, contrast, saturation and hue in any order, applied at once.

A map is a matrix (C + 1, C + 1) that acts on a colour as a row, (red, green, blue, 1), so that
products of maps read in the order in which they happen. Nothing is rounded or clipped in between:
one step may bring back what another has driven beyond black or white. Hues turn in YIQ, where
the turn is such a map and keeps the luma; in HSV it would not be affine, and would keep the
largest of the three colours instead.
"""

import numpy as np

# The weights of red, green and blue in the luma (ITU-R BT.601, as in Pillow and Keras).
LUMA = np.array([0.299, 0.587, 0.114])
# From RGB to the luma and the two axes of colour of the YIQ space of NTSC.
YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
STEPS = ("brightness", "contrast", "saturation", "hue")


def draw(
    count: int, random: np.random.Generator, ranges: tuple[float, float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the change of each of the STEPS (B, 4), uniform in its range, and their order (B, 4)."""
    changes = random.uniform(-1, 1, (count, len(STEPS))) * ranges
    order = random.permuted(np.tile(np.arange(len(STEPS)), (count, 1)), axis=1)
    return changes, order


def distort_colours(images: np.ndarray, changes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return images (B, H, W, C) uint8 after their STEPS, in the given order.

    `changes` and `order` are (B, 4). Brightness, contrast and saturation are multiplied by
    1 + change; the hue turns by a share of the full turn. Images of one channel have neither
    saturation nor hue.
    """
    count, height, width, channels = images.shape
    luma = LUMA if channels == 3 else np.ones(1)
    means = np.ones((count, 1, channels + 1))
    means[:, 0, :-1] = np.einsum("bhwc->bc", images, dtype=np.int64) / (height * width)
    total = np.tile(np.eye(channels + 1), (count, 1, 1))
    for step in order.T:
        greys = (means @ total)[:, 0, :-1] @ luma  # (B,), after the steps so far
        total = total @ make_colour_maps(changes, greys, luma)[step, np.arange(count)]
    return recolour_images(images, total)


def make_colour_maps(changes: np.ndarray, greys: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Return the maps (4, B, C + 1, C + 1) of the STEPS, for images of mean luma `greys` (B,)."""
    brightness, contrast, saturation = 1 + changes.T[:3, :, None, None]  # (B, 1, 1)
    same = np.eye(len(luma))
    result = np.tile(np.eye(len(luma) + 1), (len(STEPS), len(changes), 1, 1))
    result[0, :, :-1, :-1] = brightness * same
    result[1, :, :-1, :-1] = contrast * same
    result[1, :, -1, :-1] = (1 - contrast[:, 0]) * greys[:, None]
    result[2, :, :-1, :-1] = saturation * same + (1 - saturation) * luma[:, None]
    if len(luma) == 3:
        result[3, :, :-1, :-1] = make_hue_rotations(changes[:, 3])
    return result


def make_hue_rotations(turns: np.ndarray) -> np.ndarray:
    """Return the matrices (B, 3, 3) that turn hues by shares of a full turn (B,) and keep the luma.

    Hues turn from red over yellow to green.
    """
    angles = 2 * np.pi * turns
    turned = np.tile(np.eye(3), (len(turns), 1, 1))
    turned[:, 1, 1] = turned[:, 2, 2] = np.cos(angles)
    turned[:, 2, 1] = np.sin(angles)
    turned[:, 1, 2] = -turned[:, 2, 1]
    return YIQ.T @ turned @ np.linalg.inv(YIQ.T)


def recolour_images(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return images (B, H, W, C) uint8 with colours mapped by matrices (B, C + 1, C + 1)."""
    result = np.empty_like(images)
    linear = matrices[:, :-1, :-1].astype(np.float32)
    added = matrices[:, -1, :-1].astype(np.float32) + np.float32(0.5)  # to round
    for image, matrix, constant, out in zip(images, linear, added, result, strict=True):
        colours = image.reshape(-1, image.shape[-1]).astype(np.float32) @ matrix + constant
        out[:] = np.clip(colours, 0, 255).reshape(image.shape)
    return result
