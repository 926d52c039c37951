"""1,797 real handwritten digits that come with scikit-learn, so that they are always available.

From the UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998): 8x8 pixels of 17
grey levels.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from cnntrain.data.source import Source
from cnntrain.spec.knobs import Natural


def digits(
    data_dir: Path,  # not needed: the images come with scikit-learn
    manual_dir: Path | None,
    *,
    margin: Natural,
) -> Source:
    """Return the digits as grey images (1797, 8 + 2 margin, 8 + 2 margin, 1) uint8, white on black.

    `margin` is the number of black pixels around the 8x8 image: the digits touch its edge, where an
    unpadded convolution sees little.
    """
    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    images = np.pad(pixels, [(0, 0), (margin, margin), (margin, margin)])[..., np.newaxis]
    names = tuple(str(name) for name in bunch.target_names)
    rows = np.arange(len(images))
    return Source(images, bunch.target.astype(np.int32), names, {"train": rows})
