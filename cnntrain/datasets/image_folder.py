"""Any folder or zip of images with a folder for each class."""

from pathlib import Path

from cnntrain.datasets.folders import opened, source
from cnntrain.datasets.source import Source
from cnntrain.errors import SpecError
from cnntrain.knobs import show


def image_folder(data_dir: Path, manual_dir: Path | None, *, folder: str) -> Source:
    """Return the images below `folder`, or in that zip; class names are those of the folders.

    A relative `folder` that does not exist is looked for in `data_dir`. Parts named train, valid
    (validation, val) and test are kept apart. Raises SpecError for a folder that is not there or
    cannot be read, fewer than two classes, an empty class, or parts whose classes differ.
    """
    return source(opened(find(folder, data_dir)))


def find(folder: str, data_dir: Path) -> Path:
    choices = [Path(folder).expanduser(), data_dir / folder] if folder else []
    try:
        for path in choices:
            if path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip"):
                return path
        what = "a file" if any(path.exists() for path in choices) else "not there"
    except OSError as error:
        what = f"out of reach: {error.strerror}"
    raise SpecError(
        f"dataset.folder is {show(folder)}, which is {what}",
        "a folder with a folder of images for each class, or a zip of one",
        "dataset.folder=/absolute/path",
    )
