"""The builders of TensorFlow Datasets: found by name, ready in `data_dir`."""

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
    """Return the builder of `name[/config][:version]`; SpecError where TFDS has none."""
    plain = re.split("[/:]", name)[0]
    known = library.list_builders(with_community_datasets=False)
    if plain not in known and not (plain.isidentifier() and (data_dir / plain).is_dir()):
        close = find_nearest(plain, known)
        raise SpecError(
            f"{name!r} is no data set of TFDS, and not in data_dir={data_dir}",
            "name[/config][:version] from tensorflow.org/datasets/catalog",
            f"dataset.tfds={close}" if close else None,
        )
    try:
        with use_scratch_folder():
            return library.builder(name, data_dir=data_dir)
    except Exception as error:  # of many kinds: no such config or version, a package that it needs
        why = re.sub('^Failed to construct .*?": ', "", get_first_line(error))
        raise SpecError(f"{name} cannot be had: {why}", list_configurations(plain)) from error


@contextlib.contextmanager
def use_scratch_folder() -> Iterator[None]:
    """Have temporary files made in a folder that goes again: TFDS leaves one for each builder."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def list_configurations(plain: str) -> str:
    """The configurations that a data set has, in words."""
    try:
        configs = library.builder_cls(plain).builder_configs
    except (ValueError, ImportError):  # a data set of the user's own, without code
        configs = {}
    return format_choices(f"{plain}/{config}" for config in configs) if configs else plain


def prepare_builder(name: str, data_dir: Path, manual_dir: Path | None) -> Any:
    """Return the builder of a data set that lies ready in `data_dir`, prepared if need be.

    The original archives come from `manual_dir`, or else from the network. Raises SpecError where
    there is neither, and says what to put where.
    """
    builder = find_builder(name, data_dir)
    if is_ready(builder):
        return builder
    with hold_folder(data_dir / DOWNLOADS / builder.name, name):
        if not is_ready(builder):  # else another process was faster
            Preparation(builder, data_dir, manual_dir).prepare()
    return find_builder(name, data_dir)


def is_ready(builder: Any) -> bool:
    """Whether a data set is there, which TFDS renames when it is complete.

    Raises SpecError where only some of its files are: somebody copied or removed some.
    """
    folder = Path(builder.data_dir)
    if not folder.exists():
        return False
    wanted = [folder / "dataset_info.json"]
    if wanted[0].is_file():
        wanted += [Path(file) for split in builder.info.splits.values() for file in split.filepaths]
    if lost := [file.name for file in wanted if not file.is_file()]:
        raise SpecError(
            f"{folder} is not whole: it lacks {', '.join(lost[:3])}{', …' * (len(lost) > 3)}",
            "all the files that TFDS prepared",
            f"copy it again, or rm -r {folder}",
        )
    return True
