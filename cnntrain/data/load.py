"""The splits of a spec and the pixels of a photo, loaded as training loads them."""

import contextlib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cnntrain.errors import SpecError
from cnntrain.spec.signatures import locate_component
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr

if TYPE_CHECKING:
    import numpy as np

    from cnntrain.data.source import Splits


def load_photo(
    photo: str | Path | bytes,
    image_size: tuple[int, int],
    *,
    channels: Literal[1, 3] = 3,
    resize: Literal["stretch", "crop", "pad", "random_crop"] = "stretch",
    value_range: tuple[float, float] | None = None,
) -> "np.ndarray":
    """Return a photo as training and `cnntrain predict` see it: (H, W, C) uint8, 0 to 255.

    `photo` is a file or its bytes, `image_size` is (height, width). The rest are the settings of
    `dataset` in a run's spec.yaml: `channels` is 3 for RGB or 1 for grey, `resize` says how another
    aspect is made to fit (random_crop shows the middle, as in a test), `value_range` which values
    of 16 and 32 bits become black and white. The photo is turned upright as its EXIF says, laid on
    white where it is transparent, and made smaller by Pillow's antialiased bilinear filter.
    Raises SpecError, which says why, for a file that is not there or no whole image.
    """
    from cnntrain.data.fetch.folders import read_photo_file
    from cnntrain.data.photos.decode import decode_chosen_photos
    from cnntrain.data.photos.photo import Frame, Photos

    name = "the photo" if isinstance(photo, bytes) else str(photo)
    photos = Photos(
        [name], lambda _: photo if isinstance(photo, bytes) else read_photo_file(Path(photo))
    )
    frame = Frame(image_size, channels, resize, value_range)
    (found,) = decode_chosen_photos(photos, [0], frame, [None])
    if isinstance(found, str):
        raise SpecError(f"{name} cannot be used: {found}", "a photo in one whole file")
    return found.pixels


def load_splits(asked: Spec) -> "Splits":
    """The splits of a spec; what libraries have to say goes to standard error."""
    with silence_stderr():
        importlib.import_module(f"cnntrain.{locate_component('dataset', asked.dataset.name)[1]}")
        if "tensorflow_datasets" in sys.modules:  # which imports TensorFlow later
            importlib.import_module("tensorflow")
    with contextlib.redirect_stdout(sys.stderr):
        return asked.load_splits()
