"""Pointwise operations as tables: a new grey level for each of 256, for each image and channel.

Each takes images (B, H, W, C) uint8 with a magnitude for each image (B,), and returns tables
(B, C, 256) uint8, or (B, 1, 256) where the channels are alike. The results are Pillow's, to the
bit: `ImageOps`, and `ImageEnhance` for brightness and contrast.
"""

import numpy as np

LEVELS = np.arange(256)


def apply_tables(images: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Return the images with every level replaced by what its table (B, C, 256) says."""
    return tables.reshape(-1)[index_levels(images)]


def index_levels(images: np.ndarray) -> np.ndarray:
    """Where each pixel's level stands among the levels of all images and channels (B, H, W, C)."""
    count, _, _, channels = images.shape
    return images + 256 * np.arange(count * channels).reshape(count, 1, 1, channels)


def autocontrast_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Stretch each channel to 0 to 255; one of a single level stays. No magnitude."""
    low, high = images.min(1).min(1)[..., None].astype(float), images.max(1).max(1)[..., None]
    scale = 255 / np.maximum(high - low, 1)
    # Pillow's own order: the product and the sum are rounded, and the result is cut off.
    stretched = np.clip(LEVELS * scale + -low * scale, 0, 255)
    return np.where(high > low, stretched, LEVELS).astype(np.uint8)


def equalize_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Spread the levels of each channel so that all are about as frequent. No magnitude."""
    count, height, width, channels = images.shape
    shape = (count, channels, 256)
    histogram = np.bincount(index_levels(images).ravel(), minlength=np.prod(shape)).reshape(shape)
    brightest = np.take_along_axis(histogram, images.max(1).max(1)[..., None], axis=2)  # (B, C, 1)
    step = (height * width - brightest) // 255
    darker = histogram.cumsum(axis=2) - histogram
    spread = (step // 2 + darker) // np.maximum(step, 1)
    return np.where(step > 0, np.minimum(spread, 255), LEVELS).astype(np.uint8)


def invert_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """The negative. No magnitude."""
    return np.broadcast_to(255 - LEVELS, (len(images), 1, 256)).astype(np.uint8)


def solarize_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Invert the levels from the threshold on: 256 leaves all as they are, 0 inverts all."""
    thresholds = magnitudes[:, None, None]
    return np.where(thresholds > LEVELS, LEVELS, 255 - LEVELS).astype(np.uint8)


def posterize_levels(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Keep so many bits of each level: 8 leaves all as they are."""
    dropped = 8 - magnitudes.astype(int)[:, None, None]
    return (LEVELS >> dropped << dropped).astype(np.uint8)


def adjust_brightness(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Away from black by a factor: 0 is black, 1 the image."""
    return blend_levels(np.zeros((1, 1, 1)), LEVELS, magnitudes[:, None, None])


def adjust_contrast(images: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Away from the mean grey of the image by a factor: 0 is all grey, 1 the image."""
    means = np.floor(compute_luma(images).mean((1, 2)) + 0.5)
    return blend_levels(means[:, None, None], LEVELS, magnitudes[:, None, None])


def compute_luma(images: np.ndarray) -> np.ndarray:
    """The luma (B, H, W) of ITU-R BT.601 in whole levels, with Pillow's fixed-point weights."""
    if images.shape[3] == 1:
        return images[..., 0]
    red, green, blue = np.moveaxis(images.astype(np.int32), 3, 0)
    return (19595 * red + 38470 * green + 7471 * blue + 2**15 >> 16).astype(np.uint8)


def blend_levels(degenerate: np.ndarray, levels: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """`degenerate` at factor 0, `levels` at 1 and beyond it above; cut off, not rounded: uint8."""
    start = degenerate.astype(np.float32)
    away = factors.astype(np.float32) * (levels.astype(np.float32) - start)
    return np.clip(start + away, 0, 255).astype(np.uint8)
