"""mixup: blend every image with another of its batch (Zhang et al., 2017, arXiv:1710.09412)."""

import numpy as np

from cnntrain.data.augmentations.ops.soft_labels import mix_labels
from cnntrain.spec.knobs import Positive


def mixup(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    alpha: Positive,
) -> tuple[np.ndarray, np.ndarray]:
    """Return blended images, rounded, and their soft labels (B, num_classes) float32.

    One share for the whole batch is drawn from Beta(alpha, alpha), as in the authors' code.
    """
    partners, share = draw(len(images), random, alpha)
    return blend_images(images, partners, share), mix_labels(labels, num_classes, partners, share)


def draw(count: int, random: np.random.Generator, alpha: float) -> tuple[np.ndarray, float]:
    """Draw which image each is blended with (B,), and the share of that image."""
    return random.permutation(count), float(random.beta(alpha, alpha))


def blend_images(images: np.ndarray, partners: np.ndarray, share: float) -> np.ndarray:
    blended = images * np.float32(1 - share)
    blended += images[partners] * np.float32(share)
    blended += np.float32(0.5)  # the conversion to integers truncates
    return blended.astype(np.uint8)
