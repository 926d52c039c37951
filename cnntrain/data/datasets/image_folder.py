"""Any folder or zip of images with a folder for each class."""

from pathlib import Path

from cnntrain.data.fetch.folders import open_tree, read_tree_source
from cnntrain.data.source import Source
from cnntrain.spec.places import find_images


def image_folder(data_dir: Path, manual_dir: Path | None, *, folder: str) -> Source:
    """Return the images below `folder`, or in that zip; class names are those of the folders.

    A relative `folder` that does not exist is looked for in `data_dir`. Folders that are called
    like the parts train, valid or test, above the class folders or below each, are kept apart (see
    `layouts.py`). Raises SpecError for a folder that is not there, cannot be read or could mean two
    things, fewer than two classes, an empty class, or parts whose classes differ.
    """
    return read_tree_source(open_tree(find_images(folder, data_dir)))
