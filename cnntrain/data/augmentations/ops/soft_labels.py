"""Soft labels: the shares of the classes in mixed images."""

import numpy as np


def make_soft_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return soft labels (B, num_classes) float32 from class numbers (B,).

    Labels that are soft already are returned as they are, and several labels an image, (B,
    num_classes) uint8, as float32.
    """
    if labels.ndim == 2:
        return labels.astype(np.float32, copy=False)
    soft_labels = np.zeros((len(labels), num_classes), np.float32)
    soft_labels[np.arange(len(labels)), labels] = 1
    return soft_labels


def mix_labels(
    labels: np.ndarray, num_classes: int, partners: np.ndarray, share: float
) -> np.ndarray:
    """Return soft labels of which `share` comes from the label of each image's partner.

    `labels` are class numbers (B,), several labels or soft labels (B, num_classes), `partners` (B,)
    indices.
    """
    own = make_soft_labels(labels, num_classes)
    return (1 - share) * own + share * own[partners]
