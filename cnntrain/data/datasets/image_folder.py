"""Any folder or zip of images with a folder for each class."""

from pathlib import Path

from cnntrain.data.fetch.folders import open_tree, read_tree_source
from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.data.source import Source
from cnntrain.spec.knobs import Name
from cnntrain.spec.places import find_images


def image_folder(
    data_dir: Path, manual_dir: Path | None, *, folder: str, groups: Name | None
) -> Source:
    """Return the images below `folder`, or in that zip, with the names of their folders as classes.

    A relative `folder` that does not exist is looked for in `data_dir`. Folders named like the
    parts train, valid or test, above the class folders or below each, are kept apart (see
    `data/fetch/layouts.py`). With `groups`, class folders may all have the same folders in them.
    Raises SpecError if the folder does not exist, cannot be read or could mean two things, has
    fewer than two classes or an empty one, or has parts whose classes differ.
    """
    tree = open_tree(find_images(folder, data_dir), data_dir / CACHE_FOLDER)
    return read_tree_source(tree, has_scenes=groups is not None)
