"""AlexNet's augmentation: a random crop, mirrored, its light shifted (Krizhevsky et al., 2012)."""

import numpy as np

from cnntrain.data.augmentations.ops import geometry, photometry
from cnntrain.spec.knobs import Factor, Fraction, NonNegative


def alexnet(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    crop: Factor | None,
    flip: Fraction,
    light: NonNegative,
    eigenvalues: tuple[float, float, float],
    eigenvectors: tuple[
        tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]
    ],
) -> tuple[np.ndarray, np.ndarray]:
    """Return random crops of the enlarged images, as large as the images, with their light changed.

    Images are enlarged until a crop of share `crop` of each side has their size. `flip` is the
    probability of a mirror image. Every pixel of an image is changed by the sum of the
    eigenvectors of the covariance of RGB (the columns of `eigenvectors`, for colours from 0 to 1),
    each times its eigenvalue and a number from a normal distribution of standard deviation `light`
    (section 4.1). The light of images of one channel stays.
    """
    size = images.shape[1:3]
    large = tuple(round(n / crop) for n in size) if crop else size
    down, right, flips, amounts = draw(len(images), random, size, large, flip, light)
    crops = enlarge_and_crop(images, down, right, flips, large)
    if images.shape[3] == 1:
        return crops, labels
    return add_light(crops, amounts, np.array(eigenvalues), np.array(eigenvectors)), labels


def draw(
    count: int,
    random: np.random.Generator,
    size: tuple[int, ...],
    large: tuple[int, ...],
    flip: float,
    light: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw a crop, a mirror image and a change of light for each image.

    Returns the first row and column (B,) of crops of `size` in `large` images, whether each is
    mirrored (B,), and the factors of the three eigenvectors (B, 3).
    """
    down = random.integers(0, large[0] - size[0], count, endpoint=True)
    right = random.integers(0, large[1] - size[1], count, endpoint=True)
    return down, right, random.random(count) < flip, random.normal(0, light, (count, 3))


def enlarge_and_crop(
    images: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    flips: np.ndarray,
    large: tuple[int, ...],
) -> np.ndarray:
    """Return enlarged, cropped and mirrored images (B, H, W, C) uint8, in one interpolation.

    Only the part of the enlarged image that the crop shows is computed.
    """
    height, width = images.shape[1:3]
    enlarged = geometry.make_zoom(large[0] / height, large[1] / width)
    moved = geometry.make_shift((large[0] - height) / 2 - down, (large[1] - width) / 2 - right)
    return geometry.warp_images(images, enlarged @ moved @ geometry.make_flip(flips), "nearest")


def add_light(
    images: np.ndarray, amounts: np.ndarray, eigenvalues: np.ndarray, eigenvectors: np.ndarray
) -> np.ndarray:
    """Add to images (B, H, W, 3) the eigenvectors times eigenvalues and `amounts` (B, 3)."""
    maps = np.tile(np.eye(4), (len(images), 1, 1))
    maps[:, 3, :3] = 255 * (amounts * eigenvalues) @ eigenvectors.T
    return photometry.recolour_images(images, maps)
