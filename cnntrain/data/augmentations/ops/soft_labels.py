"""Labels of images that are mixed: the shares of the classes."""

import numpy as np


def make_soft_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return labels, class numbers (B,) or shares already, as float32 shares (B, num_classes)."""
    if labels.ndim == 2:
        return labels
    shares = np.zeros((len(labels), num_classes), np.float32)
    shares[np.arange(len(labels)), labels] = 1
    return shares


def mix_labels(
    labels: np.ndarray, num_classes: int, partners: np.ndarray, share: float
) -> np.ndarray:
    """Return what is left of each label when `share` of it is that of its partner."""
    own = make_soft_labels(labels, num_classes)
    return (1 - share) * own + share * own[partners]
