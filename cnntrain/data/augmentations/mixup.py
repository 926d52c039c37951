"""mixup: blend every image with another of its batch (Zhang et al., 2017, arXiv:1710.09412)."""

from collections.abc import Mapping

import numpy as np

from cnntrain.data.augmentations import Arrays, DeviceForm
from cnntrain.data.augmentations.ops import device
from cnntrain.data.augmentations.ops.device import Tensor
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


def on_device(*, alpha: Positive) -> DeviceForm:
    """Return the form that blends on the device: it adds what the host has multiplied."""

    def draw_levels(
        shape: tuple[int, ...], labels: np.ndarray, num_classes: int, random: np.random.Generator
    ) -> tuple[Arrays, np.ndarray]:
        partners, share = draw(shape[0], random, alpha)
        levels = np.arange(256, dtype=np.uint8)
        drawn = {
            "partners": partners.astype(np.int32),
            "own_levels": levels * np.float32(1 - share),
            "other_levels": levels * np.float32(share),
        }
        return drawn, mix_labels(labels, num_classes, partners, share)

    def blend_on_device(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        others = device.take_images(images, drawn["partners"])
        return device.blend_images(images, others, drawn["own_levels"], drawn["other_levels"])

    return DeviceForm(draw_levels, blend_on_device)
