"""Data sets of TensorFlow Datasets: prepared in `data_dir`, from the network or from archives."""

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import requests
import tensorflow_datasets as library
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from cnntrain.datasets.source import Source, room_for
from cnntrain.errors import SpecError


def tfds(
    data_dir: Path,
    manual_dir: Path | None,
    *,
    tfds: Literal["mnist", "fashion_mnist", "cifar10", "cifar100"],
) -> Source:
    """Return a data set with its official train and test split.

    Prepares it in `data_dir` first if need be: from the original archives in `manual_dir`, or by
    downloading them. Raises SpecError where there is neither, and says what to put where.
    """
    builder = prepared(tfds, data_dir, manual_dir)
    names = builder.info.features["label"].names
    sizes = [builder.info.splits[split].num_examples for split in ("train", "test")]
    height, width, channels = builder.info.features["image"].shape
    images = room_for(sum(sizes), (height, width), channels)
    labels = np.empty(sum(sizes), np.int32)
    parts = {"train": np.arange(sizes[0]), "test": np.arange(sizes[0], sum(sizes))}
    for split, rows in parts.items():
        read(builder, split, images[rows[0] :], labels[rows[0] :])
    return Source(images, labels, tuple(names), parts)


def prepared(name: str, data_dir: Path, manual_dir: Path | None) -> Any:
    """The TFDS builder of a data set that lies ready in `data_dir`."""
    builder = library.builder(name, data_dir=data_dir)
    if Path(builder.data_dir, "dataset_info.json").is_file():
        return builder
    if not sys.stderr.isatty():
        library.disable_progress_bar()
    archives = None if manual_dir is None else manual_dir.absolute()
    try:
        reach_missing_archives(builder, archives)
        builder.download_and_prepare(
            download_config=library.download.DownloadConfig(manual_dir=archives)
        )
    except (OSError, library.download.DownloadError, NonMatchingChecksumError) as error:
        raise missing(name, builder, data_dir, manual_dir, error) from error
    return builder


def reach_missing_archives(builder: Any, archives: Path | None) -> None:
    """Raise OSError at once where a download could only fail: TFDS would retry for minutes."""
    for url, info in builder.url_infos.items():
        if archives is None or not (archives / info.filename).is_file():
            requests.head(url, timeout=20, allow_redirects=True)
            return


def missing(
    name: str, builder: Any, data_dir: Path, manual_dir: Path | None, error: Exception
) -> SpecError:
    """Name the files to fetch, their sizes, where to put them, and the command to run again."""
    lacking = lacks(builder, manual_dir)
    files = ", ".join(f"{info.filename} ({info.size})" for info in builder.url_infos.values())
    site = next(iter(builder.url_infos)).rpartition("/")[0]
    return SpecError(
        f"dataset={name} is not in data_dir={data_dir}, {lacking}and {reason(error)}",
        f"in one folder, as published at {site}: {files}",
        f"cnntrain dataset={name} manual_dir={manual_dir or 'THAT_FOLDER'}",
    )


def lacks(builder: Any, manual_dir: Path | None) -> str:
    """What a given manual_dir does not have: all of it, or some archives."""
    if manual_dir is None:
        return ""
    if not manual_dir.is_dir():
        return f"manual_dir={manual_dir} is not there, "
    names = [info.filename for info in builder.url_infos.values()]
    absent = [name for name in names if not (manual_dir / name).is_file()]
    return f"manual_dir={manual_dir} lacks {', '.join(absent)}, " if absent else ""


def reason(error: Exception) -> str:
    """Why a data set could not be prepared, in a line."""
    if isinstance(error, requests.RequestException):
        return "there is no network to fetch it"
    return f"preparing it failed: {str(error).strip().partition(chr(10))[0].rstrip(':')}"


def read(builder: Any, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Decode a whole split, in the order of its file, into the beginnings of two arrays."""
    batches = builder.as_dataset(
        split=split,
        as_supervised=True,
        read_config=library.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    ).batch(1000)
    start, count = 0, builder.info.splits[split].num_examples
    for batch_images, batch_labels in batches.as_numpy_iterator():
        end = start + len(batch_labels)
        images[start:end], labels[start:end] = batch_images, batch_labels
        start = end
    assert start == count, f"{builder.name} says {count} examples and has {start}"
