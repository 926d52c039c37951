"""Additive Gaussian noise, whose strength differs from image to image."""

import numpy as np

from cnntrain.spec.knobs import NonNegative


def noise(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    std: NonNegative,
) -> tuple[np.ndarray, np.ndarray]:
    """Return images with noise whose standard deviation is drawn from 0 to `std` grey levels.

    The deviation is uniform, so that some images stay as clean as those in validation.
    """
    stds, normal = draw(images.shape, random, std)
    return add_noise(images, stds, normal), labels


def draw(
    shape: tuple[int, ...], random: np.random.Generator, std: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a standard deviation for each image (B,), and standard normal noise (B, H, W, C)."""
    stds = random.uniform(0, std, shape[0]).astype(np.float32)
    return stds, random.standard_normal(shape, np.float32)


def add_noise(images: np.ndarray, stds: np.ndarray, normal: np.ndarray) -> np.ndarray:
    noisy = images + stds[:, None, None, None] * normal
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
