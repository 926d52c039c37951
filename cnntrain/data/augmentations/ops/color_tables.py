"""Pointwise operations as tables, which give each of the 256 grey levels a new one.

Each operation takes images (B, H, W, C) uint8 and a magnitude for each image (B,). It returns
tables (B, C, 256) uint8, or (B, 1, 256) if all channels are treated alike. The results are
bit for bit those of Pillow's `ImageOps`, and of `ImageEnhance` for brightness and contrast.
"""

import numpy as np

LEVELS = np.arange(256)


def apply_tables(images: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Return images (B, H, W, C) with every level replaced by its entry in tables (B, C, 256)."""
    return tables.reshape(-1)[index_levels(images)]


def index_levels(images: np.ndarray) -> np.ndarray:
    """Return each pixel's index (B, H, W, C) into the flattened tables (B, C, 256)."""
    count, _, _, channels = images.shape
    return images + 256 * np.arange(count * channels).reshape(count, 1, 1, channels)


def autocontrast_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Stretch the levels of each channel to 0 to 255; ignore the magnitudes.

    A channel of a single level stays as it is.
    """
    low, high = images.min(1).min(1)[..., None].astype(float), images.max(1).max(1)[..., None]
    scale = 255 / np.maximum(high - low, 1)
    # In Pillow's order: the product and the sum are rounded as floats, and the result is truncated.
    stretched = np.clip(LEVELS * scale + -low * scale, 0, 255)
    return np.where(high > low, stretched, LEVELS).astype(np.uint8)


def equalize_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Spread the levels of each channel until all are about as frequent; ignore the magnitudes."""
    count, height, width, channels = images.shape
    shape = (count, channels, 256)
    histogram = np.bincount(index_levels(images).ravel(), minlength=np.prod(shape)).reshape(shape)
    brightest = np.take_along_axis(histogram, images.max(1).max(1)[..., None], axis=2)  # (B, C, 1)
    step = (height * width - brightest) // 255
    darker = histogram.cumsum(axis=2) - histogram
    spread = (step // 2 + darker) // np.maximum(step, 1)
    return np.where(step > 0, np.minimum(spread, 255), LEVELS).astype(np.uint8)


def invert_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Return the tables of the negative; ignore the magnitudes."""
    return np.broadcast_to(255 - LEVELS, (len(images), 1, 256)).astype(np.uint8)


def solarize_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Invert the levels from the magnitude on: 256 leaves all as they are, 0 inverts all."""
    thresholds = magnitudes[:, None, None]
    return np.where(thresholds > LEVELS, LEVELS, 255 - LEVELS).astype(np.uint8)


def posterize_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Keep the upper bits of each level, as many as the magnitude: 8 leaves all as they are."""
    dropped = 8 - magnitudes.astype(int)[:, None, None]
    return (LEVELS >> dropped << dropped).astype(np.uint8)


def adjust_brightness(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Move the levels away from black by a factor: 0 is black, 1 is the image."""
    return blend_levels(np.zeros((1, 1, 1)), LEVELS, magnitudes[:, None, None])


def adjust_contrast(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Move the levels away from the image's mean grey by a factor: 0 is that grey, 1 the image."""
    means = np.floor(compute_luma(images).mean((1, 2)) + 0.5)
    return blend_levels(means[:, None, None], LEVELS, magnitudes[:, None, None])


def compute_luma(images: np.ndarray) -> np.ndarray:
    """Return the luma (B, H, W) uint8 of ITU-R BT.601, with Pillow's fixed-point weights."""
    if images.shape[3] == 1:
        return images[..., 0]
    red, green, blue = np.moveaxis(images.astype(np.int32), 3, 0)
    return (19595 * red + 38470 * green + 7471 * blue + 2**15 >> 16).astype(np.uint8)


def blend_levels(degenerate: np.ndarray, levels: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return uint8 levels that are `degenerate` at factor 0, `levels` at 1, and linear beyond.

    Results are truncated to whole levels, not rounded, and clipped to 0 to 255.
    """
    start = degenerate.astype(np.float32)
    away = factors.astype(np.float32) * (levels.astype(np.float32) - start)
    return np.clip(start + away, 0, 255).astype(np.uint8)
