"""1,797 real handwritten digits that scikit-learn carries: the data set that is always there.

From the UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), 8x8 pixels of 17
grey levels, scaled up.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from cnntrain.datasets.source import Examples, Source, room_for
from cnntrain.knobs import Count, Natural


def digits(
    data_dir: Path,  # not needed: the images come with scikit-learn
    manual_dir: Path | None,
    *,
    margin: Natural,
    size: tuple[Count, Count],
) -> Source:
    """Return the digits as grey images of `size`, (height, width), white on black.

    `margin` is how many black pixels go round the 8x8 image before it is scaled up: the digits
    touch its edge, where an unpadded convolution sees little.
    """
    bunch = load_digits()
    images = room_for(len(bunch.images), size, 1)  # (1797, H, W, 1)
    for index, image in enumerate(bunch.images):
        images[index, ..., 0] = scaled(image, margin, size)
    train = Examples(images, bunch.target.astype(np.int32))
    return Source(train, None, None, tuple(str(name) for name in bunch.target_names))


def scaled(image: np.ndarray, margin: int, size: tuple[int, int]) -> np.ndarray:
    """An 8x8 image of values 0 to 16 as uint8 pixels of `size`."""
    pixels = np.pad(np.round(image * (255 / 16)).astype(np.uint8), margin)
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
