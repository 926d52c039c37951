"""Find the builders of TensorFlow Datasets by name, and prepare their data in `data_dir`."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as library

from cnntrain.data.fetch.download import DOWNLOADS
from cnntrain.data.fetch.tfds_prepare import Preparation, get_first_line
from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.files.locks import hold_folder


def find_builder(name: str, data_dir: Path) -> Any:
    """Return the builder of `name[/config][:version]`; raise SpecError if TFDS has none."""
    plain = re.split("[/:]", name)[0]
    names = library.list_builders(with_community_datasets=False)
    if plain not in names and not (plain.isidentifier() and (data_dir / plain).is_dir()):
        close = find_nearest(plain, names)
        raise SpecError(
            f"{name!r} is no data set of TFDS, and not in data_dir={data_dir}",
            "name[/config][:version] from tensorflow.org/datasets/catalog",
            f"dataset.tfds={close}" if close else None,
        )
    try:
        with use_scratch_folder():
            return library.builder(name, data_dir=data_dir)
    except Exception as error:  # of many types: an unknown config or version, a missing package
        why = re.sub('^Failed to construct .*?": ', "", get_first_line(error))
        raise SpecError(f"TFDS cannot build {name}: {why}", list_configurations(plain)) from error


@contextlib.contextmanager
def use_scratch_folder() -> Iterator[None]:
    """Make temporary files in a folder that is removed afterwards.

    TFDS leaves one temporary file for each builder.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def list_configurations(plain: str) -> str:
    """Return the configurations of a data set as text, or its name if it has none."""
    try:
        configs = library.builder_cls(plain).builder_configs
    except (ValueError, ImportError):  # a data set of the user's own, without code
        configs = {}
    return format_choices(f"{plain}/{config}" for config in configs) if configs else plain


def prepare_builder(name: str, data_dir: Path, manual_dir: Path | None) -> Any:
    """Return the builder of a data set that is ready in `data_dir`, prepared first if need be.

    The original archives come from `manual_dir`, or else from the network. Raises SpecError if
    neither has them, and says which file belongs where.
    """
    builder = find_builder(name, data_dir)
    if is_ready(builder):
        return builder
    with hold_folder(data_dir / DOWNLOADS / builder.name, name):
        if not is_ready(builder):  # another process may have been faster
            Preparation(builder, data_dir, manual_dir).prepare()
    return find_builder(name, data_dir)


def is_ready(builder: Any) -> bool:
    """Return whether a data set is prepared; TFDS renames its folder only when it is complete.

    Raises SpecError if files are missing, because somebody copied or removed only some.
    """
    folder = Path(builder.data_dir)
    if not folder.exists():
        return False
    files = [folder / "dataset_info.json"]
    if files[0].is_file():
        files += [Path(file) for split in builder.info.splits.values() for file in split.filepaths]
    if missing := [file.name for file in files if not file.is_file()]:
        raise SpecError(
            f"{folder} is not whole: it lacks {', '.join(missing[:3])}{', …' * (len(missing) > 3)}",
            "all the files that TFDS prepared",
            f"copy it again, or rm -r {folder}",
        )
    return True
