"""The splits of a spec and the pixels of a photo, loaded as training loads them."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.spec.signatures import locate_component
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr

if TYPE_CHECKING:
    import numpy as np

    from cnntrain.data.source import Source, Splits


def load_photo(
    photo: str | Path | bytes,
    image_size: tuple[int, int],
    *,
    channels: Literal[1, 3] = 3,
    resize: Literal["stretch", "crop", "pad", "random_crop"] = "stretch",
    value_range: tuple[float, float] | None = None,
) -> "np.ndarray":
    """Return a photo as training and `cnntrain predict` see it: (H, W, C) uint8, 0 to 255.

    `photo` is a file or its bytes, `image_size` is (height, width), `channels` is 3 for RGB or 1
    for grey. `resize` is that of the run's spec.yaml: it says how a photo of another aspect ratio
    is made to fit (random_crop shows the middle, as in a test). `value_range` says which values of
    16 and 32 bits become black and white; if spec.yaml says auto, run.json has the range. The photo
    is turned upright as its EXIF says, laid on white where it is transparent, and resized by
    Pillow's antialiased bilinear filter. Raises SpecError, which says why, for `auto`, and if the
    file does not exist or is not a whole image.
    """
    from cnntrain.data.photos.decode import decode_chosen_photos
    from cnntrain.data.photos.photo import Frame, Photos
    from cnntrain.data.photos.readers import read_photo_file

    if value_range == "auto":
        raise SpecError(
            "value_range is auto, and one photo does not say how many bits the others use",
            "(LOW, HIGH) or None: the value_range of the data in the run's run.json",
        )
    name = "the photo" if isinstance(photo, bytes) else str(photo)
    photos = Photos(
        [name], lambda _: photo if isinstance(photo, bytes) else read_photo_file(Path(photo))
    )
    frame = Frame(image_size, channels, resize, value_range)
    (result,) = decode_chosen_photos(photos, [0], frame, [None])
    if isinstance(result, str):
        raise SpecError(f"{name} cannot be used: {result}", "a photo in one whole file")
    return result.pixels


def load_splits(spec: Spec) -> "Splits":
    """Import the data set's module quietly, and return the splits of a spec.

    What libraries print on standard output meanwhile goes to standard error.
    """
    with import_dataset(spec):
        return spec.load_splits()


def load_source(spec: Spec) -> "Source":
    """Return the data set of a spec as its makers divide it, as quietly as `load_splits`."""
    manual_dir = expand_folder(spec.manual_dir, "manual_dir") if spec.manual_dir else None
    with import_dataset(spec):
        return spec.dataset.bound_function(expand_folder(spec.data_dir, "data_dir"), manual_dir)


@contextlib.contextmanager
def import_dataset(spec: Spec) -> Iterator[None]:
    """Import the data set's module, and send what is printed in the block to standard error."""
    from cnntrain.data.decoders import choose_decoders

    choose_decoders(spec)
    with silence_stderr():
        importlib.import_module(f"cnntrain.{locate_component('dataset', spec.dataset.name)[1]}")
        if "tensorflow_datasets" in sys.modules:  # it imports TensorFlow later, and loudly
            importlib.import_module("tensorflow")
    with contextlib.redirect_stdout(sys.stderr):
        yield
