"""Real data, where it is available: counts, pixels, and splits that never change."""

import hashlib
import importlib
import os
import zipfile
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from cnntrain.data.fetch import folders
from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.data.photos.photo import Photos
from cnntrain.data.splits import split_source


@pytest.mark.slow
def test_cifar10_is_the_real_one(spec, cifar10_dir):
    splits = spec("dataset=cifar10").dataset(cifar10_dir, None)
    assert [len(part) for _, part in splits.items()] == [45_000, 5_000, 10_000]
    assert splits.image_shape == (32, 32, 3)
    assert splits.class_names[:3] == ("airplane", "automobile", "bird")
    assert splits.origin["test"] == "official"
    check_golden("cifar10", splits)
    whole = np.concatenate([splits.train.images, splits.valid.images])
    assert whole.mean(axis=(0, 1, 2)) == pytest.approx([125.307, 122.950, 113.865], abs=0.001)
    for name, count in [("train", 4500), ("valid", 500), ("test", 1000)]:
        assert (np.bincount(getattr(splits, name).labels) == count).all()


@pytest.fixture(scope="module")
def mnist_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.mark.slow
def test_mnist_is_prepared_from_its_archives_without_a_network(spec, archives, mnist_dir):
    splits = spec("dataset=mnist").dataset(mnist_dir, archives)
    assert [len(part) for _, part in splits.items()] == [55_000, 5_000, 10_000]
    assert splits.image_shape == (28, 28, 1)
    check_golden("mnist", splits)
    counts = np.bincount(np.concatenate([splits.train.labels, splits.valid.labels]))
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    again = spec("dataset=mnist").dataset(mnist_dir, None)  # prepared now: no archives needed
    assert np.array_equal(again.test.images, splits.test.images)


# The fingerprints of the images and labels of all splits, in order. They must not change.
FINGERPRINTS = {
    "cifar10": "6a26e2088f23a14a0b4e8c5f648c833221b5eb8a87caeab81b6546183f6e0319",
    "mnist": "d8c39dc16c6e4f86e69a4c869f4f6d540e9becb8aa95f276351c95956f865c24",
}
# The first 8 digits of the sha256 over the sorted names, or row numbers, of each part's images.
GOLDEN = {
    "digits": {"test": "96004645", "train": "d7e741ab", "valid": "173b0504"},
    "cifar10": {"test": "fc627ae5", "train": "5511669c", "valid": "4db50d8d"},
    "mnist": {"test": "235152f9", "train": "76de9fd0", "valid": "d6f6f3b6"},
    "flowers17": {"test": "5e84952e", "train": "aeb018e4", "valid": "76c4ccee"},
    "cats_vs_dogs_small": {"test": "2c6c1acf", "train": "1792d120", "valid": "7a7abfb5"},
}


def digests(names):
    texts = {part: "\n".join(sorted(own)) for part, own in names.items()}
    return {part: hashlib.sha256(text.encode()).hexdigest()[:8] for part, text in texts.items()}


def check_golden(option, splits):
    """Compare the splits of images that kept their size, so that rows are those of the source."""
    assert compute_fingerprint(splits) == FINGERPRINTS[option]
    assert digests({n: [str(r) for r in part.rows] for n, part in splits.items()}) == GOLDEN[option]


@dataclass(frozen=True)
class Cut:
    """The names and the labels of the photos in each part of a data set."""

    names: dict[str, list[str]]
    labels: dict[str, np.ndarray]


@pytest.fixture
def cut(spec, tmp_path):
    """Return a function that splits a data set as its option says, without decoding."""

    def cut_one(option, archives):
        chosen = spec(f"dataset={option}").dataset
        module = importlib.import_module(f"cnntrain.data.datasets.{chosen.name}")
        source = getattr(module, chosen.name)(tmp_path, archives, **chosen.knobs)
        knobs = ("valid", "test", "cut", "split_seed")
        rows, _ = split_source(source, *(chosen[knob] for knob in knobs))
        photos = isinstance(source.images, Photos)
        names = source.images.names if photos else [str(n) for n in range(len(source.labels))]
        return Cut(
            {part: [names[row] for row in own] for part, own in rows.items()},
            {part: source.labels[own] for part, own in rows.items()},
        )

    return cut_one


@pytest.mark.parametrize("option", ["digits", "flowers17", "cats_vs_dogs_small"])
def test_splits_are_the_same_on_every_machine_disjoint_and_stratified(cut, archives, option):
    parts = cut(option, archives)
    assert digests(parts.names) == GOLDEN[option]
    every = [name for names in parts.names.values() for name in names]
    assert len(set(every)) == len(every)
    whole = np.bincount(np.concatenate([*parts.labels.values()]))
    for labels in parts.labels.values():
        assert abs(np.bincount(labels) - whole * len(labels) / whole.sum()).max() <= 1


@pytest.mark.parametrize("option", ["flowers17", "cats_vs_dogs_small"])
def test_splits_do_not_depend_on_the_order_in_which_files_are_listed(
    cut, archives, monkeypatch, option
):
    listing = folders.os.scandir
    backwards = SimpleNamespace(**vars(os))
    backwards.scandir = lambda path: reversed([*listing(path)])
    monkeypatch.setattr(folders, "os", backwards)
    assert digests(cut(option, archives).names) == GOLDEN[option]


def test_splits_do_not_depend_on_the_order_of_files_in_an_archive(cut, archives, tmp_path):
    folder = tmp_path / "other_order"
    folder.mkdir()
    with (
        zipfile.ZipFile(archives / "cats_and_dogs_700.zip") as old,
        zipfile.ZipFile(folder / "cats_and_dogs.zip", "w") as new,
    ):
        for info in np.random.default_rng(0).permutation(old.infolist()):
            new.writestr(info.filename, old.read(info))
    assert digests(cut("cats_vs_dogs_small", folder).names) == GOLDEN["cats_vs_dogs_small"]
