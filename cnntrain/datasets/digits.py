"""1,797 real handwritten digits that scikit-learn carries: the data set that is always there.

From the UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), 8x8 pixels of 17
grey levels, scaled up.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from cnntrain.datasets.source import Examples, Source
from cnntrain.knobs import Count


def digits(
    data_dir: Path,  # not needed: the images come with scikit-learn
    manual_dir: Path | None,
    *,
    size: tuple[Count, Count],
) -> Source:
    """Return the digits as grey images of `size`, (height, width)."""
    bunch = load_digits()
    images = np.stack([scaled(image, size) for image in bunch.images])  # (1797, H, W)
    train = Examples(images[..., np.newaxis], bunch.target.astype(np.int32))
    return Source(train, None, None, tuple(str(name) for name in bunch.target_names))


def scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An 8x8 image of values 0 to 16 as uint8 pixels of `size`."""
    pixels = np.round(image * (255 / 16)).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
