"""GoogLeNet's augmentation: a crop of any size, resized, mirrored, with its colours distorted.

Szegedy et al., 2014, arXiv:1409.4842, section 6; the colours after Howard, 2013, arXiv:1312.5402.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

from cnntrain.data.augmentations.ops import photometry
from cnntrain.data.augmentations.ops.crops import mirror_images
from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Fraction, Positive

ATTEMPTS = 10


def inception_crop(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    area: Fraction,
    aspect: Positive,
    interpolations: list[Literal["nearest", "bilinear", "bicubic"]],
    flip: Fraction,
    brightness: Fraction,
    contrast: Fraction,
    saturation: Fraction,
    hue: Fraction,
) -> tuple[np.ndarray, np.ndarray]:
    """Return random crops, resized to the size of the images, mirrored, with distorted colours.

    A crop covers at least the share `area` of the image. Its width over its height, relative to the
    image's, is from 1 / `aspect` to `aspect`. Each crop is resized by one of `interpolations`.
    `flip` is the probability of a mirror image. The last four knobs are as in the augmentation
    `color`. Raises SpecError if there are no interpolations.
    """
    if not interpolations:
        raise SpecError(
            "augmentation.interpolations is []",
            "some of nearest, bilinear, bicubic",
            "augmentation.interpolations=[bilinear]",
        )
    drawn = draw(len(images), images.shape[1:3], random, area, aspect, interpolations, flip)
    ranges = (brightness, contrast, saturation, hue)
    changes, order = photometry.draw(len(images), random, ranges)
    crops = resize_crops(images, *drawn)
    return (photometry.distort_colours(crops, changes, order) if any(ranges) else crops), labels


def draw(
    count: int,
    size: tuple[int, ...],
    random: np.random.Generator,
    area: float,
    aspect: float,
    interpolations: Sequence[str],
    flip: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw crops (B, 4), their interpolations (B,), and whether they are mirrored (B,).

    A crop is left, top, right and bottom. Areas are uniform, aspects uniform on a logarithmic
    scale. The first of ATTEMPTS crops that fits into the image is used; if none fits, the first of
    all is cut to the image.
    """
    areas = random.uniform(area, 1, (ATTEMPTS, count))
    aspects = aspect ** random.uniform(-1, 1, (ATTEMPTS, count))
    sides = np.rint([size[0] * np.sqrt(areas / aspects), size[1] * np.sqrt(areas * aspects)])
    limits = np.reshape(size, (2, 1))
    fits = (sides <= limits[..., None]).all(axis=0)  # (ATTEMPTS, B)
    height, width = np.clip(sides[:, fits.argmax(axis=0), np.arange(count)], 1, limits).astype(int)
    top = random.integers(0, size[0] - height, endpoint=True)
    left = random.integers(0, size[1] - width, endpoint=True)
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    return boxes, random.choice(np.array(interpolations), count), random.random(count) < flip


def resize_crops(
    images: np.ndarray, boxes: np.ndarray, interpolations: np.ndarray, flips: np.ndarray
) -> np.ndarray:
    """Return the contents of the boxes, resized to the size of the images, mirrored."""
    result = np.empty_like(images)
    size, channels = images.shape[2:0:-1], images.shape[3]  # (W, H), as Pillow has it
    for image, box, name, out in zip(images, boxes.tolist(), interpolations, result, strict=True):
        picture = Image.fromarray(image if channels == 3 else image[..., 0])
        seen = picture.resize(size, Image.Resampling[name.upper()], box)
        out[:] = np.asarray(seen).reshape(out.shape)
    return mirror_images(result, flips)
