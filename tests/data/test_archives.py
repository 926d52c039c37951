"""Flowers, cats and dogs are unpacked once, from archives and folders of many kinds."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from filelock import FileLock

from cnntrain.data.datasets import flowers17 as flowers
from cnntrain.data.datasets.cats_vs_dogs_small import cats_vs_dogs_small
from cnntrain.data.datasets.flowers17 import flowers17
from cnntrain.data.fetch.download import Archive
from cnntrain.errors import SpecError
from helpers.tiny import photo

NAMES = [f"image_{number:04}.jpg" for number in range(1, 1361)]


def tgz(file, members):
    with tarfile.open(file, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def zipped(file, members):
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def foldered(folder, members):
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def given(tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


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


def test_archive_cannot_write_outside_its_folder(tmp_path, given):
    zipped(given / "cats_and_dogs.zip", pets(3, 2) | {"train/cats/../../../../evil.jpg": b"evil"})
    cats_vs_dogs_small(tmp_path, given)
    assert not list(tmp_path.rglob("evil.jpg"))


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


def pets(train, validation, top="cats_and_dogs/", **more):
    counts = {"train": train, "validation": validation} | more
    return {
        f"{top}{part}/{kind}s/{kind}.{number}.jpg": f"{part} {kind} {number}".encode()
        for part, count in counts.items()
        for kind in ("cat", "dog")
        for number in range(count)
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda at: zipped(at / "cats_and_dogs_filtered.zip", pets(3, 2)),
        lambda at: foldered(at / "cats_and_dogs_small", pets(3, 2, "")),
        lambda at: foldered(at, pets(3, 2, "")),
        lambda at: zipped(at / "cats_and_dogs.zip", pets(3, 2, "a/b/") | LITTER),
    ],
    ids=["zip", "folder", "itself", "litter"],
)
def test_validation_of_cats_and_dogs_is_the_test_part(tmp_path, given, make):
    make(given)
    found = cats_vs_dogs_small(tmp_path, given)
    assert {part: len(rows) for part, rows in found.parts.items()} == {"train": 6, "test": 4}
    for part, folder in {"train": "train", "test": "validation"}.items():
        for row in found.parts[part]:
            kind = found.class_names[found.labels[row]][:-1]
            assert found.images.read(row).startswith(f"{folder} {kind} ".encode())
    assert "6 + 4 photos" in found.notes[0]
    assert "not the usual 2,000 + 1,000" in found.notes[0]


LITTER = {
    "__MACOSX/a/b/train/cats/cat.9.jpg": b"", "a/b/train/cats/.DS_Store": b"",
    "a/b/vectorize.py": b"", "a/b/train/notes.txt": b"",
}  # fmt: skip


def test_usual_numbers_of_photos_give_no_note(tmp_path, given):
    zipped(given / "cats_and_dogs_filtered.zip", pets(1000, 500))
    assert cats_vs_dogs_small(tmp_path, given).notes == []


def test_all_three_parts_are_kept_where_there_are_three(tmp_path, given):
    foldered(given / "cats_vs_dogs_small", pets(3, 2, "", test=1))
    found = cats_vs_dogs_small(tmp_path, given)
    sizes = {part: len(rows) for part, rows in found.parts.items()}
    assert sizes == {"train": 6, "valid": 4, "test": 2}


def test_folder_without_dogs_is_refused(tmp_path, given):
    cats = {name: content for name, content in pets(3, 2).items() if "cats/" in name}
    zipped(given / "cats_and_dogs.zip", cats)
    with pytest.raises(SpecError, match="has no photos in train/dogs"):
        cats_vs_dogs_small(tmp_path, given)


def test_another_archive_is_unpacked_beside_the_first(tmp_path, given):
    zipped(given / "cats_and_dogs.zip", pets(3, 2))
    first = cats_vs_dogs_small(tmp_path, given)
    zipped(given / "cats_and_dogs.zip", pets(4, 2))
    second = cats_vs_dogs_small(tmp_path, given)
    assert [len(found.labels) for found in (first, second)] == [10, 12]
    assert first.images.read(0) == b"train cat 0"


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


def test_real_cats_and_dogs_have_the_published_counts(archives, tmp_path):
    found = cats_vs_dogs_small(tmp_path, archives)
    counts = {part: Counter(found.labels[rows].tolist()) for part, rows in found.parts.items()}
    assert counts == {"train": {0: 250, 1: 250}, "test": {0: 100, 1: 100}}
    assert found.notes == [
        "cats_vs_dogs_small: 500 + 200 photos from cats_and_dogs_700.zip, not the usual "
        "2,000 + 1,000"
    ]
