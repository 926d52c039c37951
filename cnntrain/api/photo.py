"""A photo as a network gets it."""

from os import PathLike
from typing import TYPE_CHECKING, Any

from cnntrain.api.pictures import gather_pictures
from cnntrain.api.run import Run
from cnntrain.errors import SpecError

if TYPE_CHECKING:
    import numpy as np


def load_photo(path: "str | PathLike[str]", run: "Run | str | PathLike[str]") -> "np.ndarray":
    """Return a photo decoded as for the training of a run: pixels (H, W, C) uint8.

    `run.network.predict(photo[None])` takes it. Raises SpecError for a photo that is broken or not
    there, and for a run that has no weights yet.
    """
    frame = (run if isinstance(run, Run) else Run(run)).network_files.classifier.frame
    pictures = gather_pictures(path, frame)
    if len(pictures) > 1:
        raise SpecError(f"{path} is a folder of {len(pictures)} files", "one photo")
    photo: Any = pictures[0].decode()
    if isinstance(photo, str):
        raise SpecError(f"{path} is broken: {photo}", "a photo")
    return photo.pixels
