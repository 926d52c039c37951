"""Flowers are unpacked once, from archives and folders of many kinds."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from filelock import FileLock

from cnntrain.data.datasets import flowers17 as flowers
from cnntrain.data.datasets.flowers17 import flowers17
from cnntrain.data.fetch.download import Archive
from cnntrain.errors import SpecError
from helpers.archives import foldered, tgz, zipped
from helpers.tiny import photo

NAMES = [f"image_{number:04}.jpg" for number in range(1, 1361)]


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def members(top="jpg/"):
    """Return stand-ins for the 1,360 photos: each file contains its own name."""
    return {f"{top}{name}": name.encode() for name in NAMES}


def test_flowers_are_the_real_ones(archives, tmp_path):
    found = flowers17(tmp_path, archives, split=1)
    read = [found.images.read(row) for row in range(1360)]
    digests = b"".join(hashlib.sha256(content).digest() for content in read)
    expected = (archives.parent / "flowers17.digest").read_text().strip()
    assert hashlib.sha256(digests).hexdigest() == expected
    assert (np.bincount(found.labels) == 80).all()
    assert [found.class_names[label] for label in found.labels[[0, 80, 1359]]] == [
        "Daffodil", "Snowdrop", "Pansy",
    ]  # fmt: skip
    assert "unofficial" in found.notes[0]
    assert "cut by dataset.split_seed" in found.notes[1]
    again = flowers17(tmp_path, None, split=None)  # unpacked now: no archive needed
    assert again.images.names == found.images.names
    assert "is not there" not in again.notes[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda at: tgz(at / "17flowers.tgz", members()),
        lambda at: foldered(at / "17flowers", members("jpg/")),
        slow(lambda at: zipped(at / "oxford-flowers-17.zip", members("17flowers/jpg/"))),
        slow(lambda at: zipped(at / "Flowers17.ZIP", members(""))),
        slow(lambda at: foldered(at, members("jpg/"))),
        slow(lambda at: foldered(at, members(""))),
    ],
    ids=["tgz", "folder", "zip", "flat zip", "jpg", "itself"],
)
def test_flowers_from_any_archive_or_folder_are_noted_as_unofficial(tmp_path, given, make):
    make(given)
    found = flowers17(tmp_path, given, split=None)
    assert [found.images.read(row) for row in (0, 1359)] == [b"image_0001.jpg", b"image_1360.jpg"]
    assert "unofficial" in found.notes[0]
    assert len(list((tmp_path / "flowers17").iterdir())) == 1


def test_official_archive_is_recognised_by_its_md5(tmp_path, given, monkeypatch):
    file = tgz(given / "17flowers.tgz", members())
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    official = Archive("https://x/17flowers.tgz", "17flowers.tgz", 1, digest, "md5")
    monkeypatch.setattr(flowers, "PHOTOS_FILE", official)
    assert not [note for note in flowers17(tmp_path, given, split=None).notes if "unoff" in note]


def test_official_photos_are_preferred_to_photos_unpacked_later(tmp_path, given, monkeypatch):
    file = tgz(given / "17flowers.tgz", members())
    flowers17(tmp_path, given, split=None)
    official = Archive("", "", 1, hashlib.md5(file.read_bytes()).hexdigest(), "md5")
    monkeypatch.setattr(flowers, "COLLECTION", replace(flowers.COLLECTION, archives=(official,)))
    tgz(given / "17flowers.tgz", {name: content + b"!" for name, content in members().items()})
    assert flowers17(tmp_path, given, split=None).images.read(0) == b"image_0001.jpg!"
    assert flowers17(tmp_path, None, split=None).images.read(0) == b"image_0001.jpg"


@pytest.fixture
def table(given, monkeypatch):
    """Write a file like the official one: three splits with 40/20/20 photos of each class."""
    numbers = {}
    for split in (1, 2, 3):
        random = np.random.default_rng(split)
        order = np.array([random.permutation(80) + 80 * kind + 1 for kind in range(17)])
        columns = {"trn": slice(0, 40), "val": slice(40, 60), "tst": slice(60, 80)}
        numbers |= {f"{key}{split}": order[:, own].reshape(1, -1) for key, own in columns.items()}
    scipy.io.savemat(given / "datasplits.mat", numbers)
    digest = hashlib.md5((given / "datasplits.mat").read_bytes()).hexdigest()
    monkeypatch.setattr(flowers, "SPLITS_FILE", replace(flowers.SPLITS_FILE, digest=digest))
    tgz(given / "17flowers.tgz", members())
    return numbers


@pytest.mark.parametrize("split", [1, 3])
def test_official_split_is_used_if_its_file_is_there(tmp_path, given, table, split):
    found = flowers17(tmp_path, given, split=split)
    assert found.origin == f"official split {split}"
    assert f"flowers17: official split {split}" in found.notes
    for part, key in {"train": "trn", "valid": "val", "test": "tst"}.items():
        assert (found.parts[part] + 1).tolist() == sorted(table[f"{key}{split}"].ravel())
    again = flowers17(tmp_path, None, split=split)  # kept in data_dir
    assert again.origin == f"official split {split}"


def test_notes_name_the_official_split(spec, given, table, tmp_path):
    tgz(given / "17flowers.tgz", {name: photo(n % 7) for n, name in enumerate(members())})
    words = ("dataset=flowers17", "dataset.image_size=[8,8]")
    splits = spec(*words).dataset(tmp_path, given)
    assert [len(part) for _, part in splits.items()] == [680, 340, 340]
    assert splits.origin["test"] == "official split 1"
    assert "flowers17: official split 1" in splits.notes
    seeded = spec(*words, "dataset.split=null").dataset(tmp_path, given)
    assert [len(part) for _, part in seeded.items()] == [680, 340, 340]
    assert all((np.bincount(part.labels) * 17 == len(part)).all() for _, part in seeded.items())


def test_split_file_with_another_checksum_is_refused(tmp_path, given, table):
    content = (given / "datasplits.mat").read_bytes()
    (given / "datasplits.mat").write_bytes(content[:-1] + b"!")
    with pytest.raises(SpecError, match=r"datasplits.mat is not the file that was published"):
        flowers17(tmp_path, given, split=1)


@pytest.mark.parametrize(
    ("make", "given_text"),
    [
        (
            lambda at: tgz(at / "17flowers.tgz", dict([*members().items()][1:])),
            "1,359 of the 1,360",
        ),
        (lambda at: tgz(at / "17flowers.tgz", members() | {"jpg/image_1361.jpg": b""}), "besides"),
        slow(
            lambda at: zipped(at / "17flowers.zip", members("a/") | members("b/")),
            "two files jpg/image_0001.jpg",
        ),
        (lambda at: (at / "17flowers.tgz").write_text("no archive"), "cannot be unpacked"),
        (lambda at: halved(tgz(at / "17flowers.tgz", members())), "cannot be unpacked"),
        slow(lambda at: halved(zipped(at / "17flowers.zip", members())), "cannot be read"),
    ],
    ids=["one less", "one more", "twice", "no archive", "half a tgz", "half a zip"],
)
def test_wrong_archive_is_refused_and_leaves_no_files(tmp_path, given, make, given_text):
    make(given)
    with pytest.raises(SpecError, match=given_text):
        flowers17(tmp_path, given, split=None)
    assert not list(tmp_path.glob("flowers17/*"))


def halved(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_removed_photo_is_noticed(tmp_path, given):
    tgz(given / "17flowers.tgz", members())
    flowers17(tmp_path, given, split=None)
    next(tmp_path.glob("flowers17/*/jpg/image_0400.jpg")).unlink()
    with pytest.raises(SpecError, match=r"has 1,359 photos of 1,360"):
        flowers17(tmp_path, None, split=None)


def test_flowers_are_downloaded_with_their_splits(site, tmp_path, given, table, monkeypatch):
    for name in ("17flowers.tgz", "datasplits.mat"):
        site.files[name] = (given / name).read_bytes()
    photos, splits = site.archive("17flowers.tgz"), site.archive("datasplits.mat", size=None)
    monkeypatch.setattr(flowers, "SPLITS_FILE", splits)
    monkeypatch.setattr(
        flowers, "COLLECTION", replace(flowers.COLLECTION, archives=(photos, splits))
    )
    site.breaks = 200_000
    found = flowers17(tmp_path, None, split=2)
    assert found.origin == "official split 2"
    assert found.images.read(1359) == b"image_1360.jpg"
    site.asked.clear()
    assert flowers17(tmp_path, None, split=2).origin == "official split 2"
    assert not site.asked


PREPARE = """
import sys
from pathlib import Path
from cnntrain.data.datasets.flowers17 import flowers17
print("begins", flush=True)
found = flowers17(Path(sys.argv[1]), Path(sys.argv[2]), split=None)
print(len(found.labels), len(found.images.read(700)))
"""


def preparing(data_dir, manual_dir):
    line = [sys.executable, "-c", PREPARE, str(data_dir), str(manual_dir)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_second_process_waits_and_says_so(tmp_path, given, capsys):
    tgz(given / "17flowers.tgz", members())
    lock = tmp_path / "downloads" / "flowers17" / ".lock"
    lock.parent.mkdir(parents=True)
    found = []
    second = threading.Thread(
        target=lambda: found.append(flowers17(tmp_path, given, split=None)), daemon=True
    )
    with FileLock(lock):
        second.start()
        second.join(0.5)
        assert second.is_alive()
        assert not (tmp_path / "flowers17").exists()
    second.join(60)
    assert len(found[0].labels) == 1360
    assert capsys.readouterr().err == "Another process prepares flowers17: waiting for it.\n"


@pytest.mark.slow
def test_processes_that_start_together_unpack_once_and_agree(tmp_path, given):
    tgz(given / "17flowers.tgz", members())
    processes = [preparing(tmp_path, given) for _ in range(3)]
    said = [process.communicate(timeout=120)[0].split() for process in processes]
    assert said == [["begins", "1360", "14"]] * 3
    (folder,) = (tmp_path / "flowers17").iterdir()
    assert json.loads((folder / "origin.json").read_text())["photos"] == 1360


def test_incomplete_folders_are_never_used(tmp_path, given):
    tgz(given / "17flowers.tgz", members())
    flowers17(tmp_path, given, split=None)
    (ready,) = (tmp_path / "flowers17").iterdir()
    half = tmp_path / "flowers17" / "incomplete.0123456789ab"
    shutil.copytree(ready, half)
    shutil.rmtree(ready)
    with pytest.raises(SpecError, match="flowers17 is not in"):
        flowers17(tmp_path, given / "nowhere", split=None)
    flowers17(tmp_path, given, split=None)
    assert [path.name for path in (tmp_path / "flowers17").iterdir()] == [ready.name]
