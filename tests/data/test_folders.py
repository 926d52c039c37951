"""Folders and zips as people have them: classes, files left out, and messages."""

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnntrain.data.fetch.folders import open_tree, read_tree_source
from cnntrain.errors import SpecError
from helpers import odd

GOOD = 40  # photos of each class


def good(folder: Path, seed: int = 0, count: int = GOOD) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        image = odd.picture(1000 * seed + number, 40 + number % 7, 30 + number % 5)
        (folder / f"{number:03}.jpg").write_bytes(odd.encoded(image, quality=90))


@pytest.fixture
def animals(tmp_path):
    """Make a folder of two classes of good photos."""
    good(tmp_path / "animals" / "cat", 1)
    good(tmp_path / "animals" / "dog", 2)
    return tmp_path / "animals"


def splits(spec, folder, data_dir, *overrides):
    words = ("dataset=image_folder", f"dataset.folder={folder}", "dataset.image_size=[16,16]")
    return spec(*words, *overrides).dataset(data_dir, None)


def test_odd_files_are_used_and_broken_ones_are_listed_with_a_reason(spec, animals, tmp_path):
    for name, content in (odd.whole() | odd.grey()).items():
        (animals / "cat" / name).write_bytes(content)
    for name, (content, _) in odd.broken().items():
        (animals / "dog" / name).write_bytes(content)
    told = {name: why for name, (_, why) in odd.broken().items()} | odd.special(animals / "dog")
    odd.litter(animals / "dog")
    (animals / "dog" / "folder.jpg").mkdir()
    good(animals / "dog" / "more", 3, 5)  # below a class all is of the class

    found = splits(spec, animals, tmp_path)
    assert sum(len(part) for _, part in found.items()) == 2 * GOOD + 5 + len(odd.whole()) + 4
    assert [name for name, _ in found.skipped] == sorted(f"dog/{name}" for name in told)
    for name, why in found.skipped:
        assert told[name.removeprefix("dog/")] in why.lower().replace("no such", "No such"), why
        assert str(tmp_path) not in why


@pytest.mark.parametrize("name", ["two\nlines", "not utf-8 \udcff", "tab\tand \x1b[31mred"])
def test_control_characters_in_names_are_escaped(spec, animals, tmp_path, name):
    (animals / "cat" / f"{name}.jpg").write_bytes(b"nothing")
    (animals / "cat").rename(animals / f"cat {name}")
    found = splits(spec, animals, tmp_path)
    ((shown, _),) = found.skipped
    for text in (shown, found.class_names[0]):
        assert text.isprintable()
        assert text.encode()
    assert name.split()[0] in shown


def test_letters_of_all_alphabets_stay_as_they_are(spec, animals, tmp_path):
    (animals / "cat" / "ネコ и кот é.jpg").write_bytes(b"nothing")
    assert splits(spec, animals, tmp_path).skipped[0][0] == "cat/ネコ и кот é.jpg"


def test_links_that_go_round_in_circles_end(animals):
    before = open_tree(animals).list_files()
    for link, target in [("cat/self", "."), ("cat/up", ".."), ("dog/above", "../..")]:
        (animals / link).symlink_to(target)
    (animals / "cat" / "a").symlink_to("b")
    (animals / "cat" / "b").symlink_to("a")
    after = open_tree(animals).list_files()
    assert {str(path) for path in set(after) - set(before)} == {
        "cat/self", "cat/up", "dog/above", "cat/a", "cat/b",
    }  # fmt: skip


def test_a_link_to_another_folder_is_followed(spec, animals, tmp_path):
    good(tmp_path / "elsewhere", 4, 7)
    (animals / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (animals / "bird").symlink_to(tmp_path / "elsewhere")
    found = read_tree_source(open_tree(animals))
    assert found.class_names == ("bird", "cat", "dog")
    assert np.bincount(found.labels).tolist() == [7, GOOD + 7, GOOD]


def test_a_folder_of_nothing_but_texts_is_refused(spec, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "texts" / name / f"{number}.txt").write_text("a cat")
    with pytest.raises(SpecError) as refused:
        splits(spec, tmp_path / "texts", tmp_path)
    assert "none of the 3 files of cat in train is an image" in str(refused.value)
    assert "cat/0.txt (no image of a known format)" in str(refused.value)


@pytest.mark.parametrize(
    "names", [("train", "val"), ("Train", "Validation"), ("training", "VALID")]
)
def test_parts_are_recognised_by_common_names(tmp_path, names):
    for number, part in enumerate((*names, "test")):
        for name in ("cat", "dog"):
            good(tmp_path / "set" / "images" / part / name, number, 2 + number)
    found = read_tree_source(open_tree(tmp_path / "set"))
    assert {part: len(rows) for part, rows in found.parts.items()} == {
        "train": 4, "valid": 6, "test": 8,
    }  # fmt: skip
    for part, rows in found.parts.items():
        assert np.bincount(found.labels[rows]).tolist() == [len(rows) // 2] * 2, part


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "ship", "train"):
        good(tmp_path / "vehicles" / name, 0, 3)
    found = read_tree_source(open_tree(tmp_path / "vehicles"))
    assert found.class_names == ("bus", "ship", "train")
    assert list(found.parts) == ["train"]


def test_order_and_labels_do_not_depend_on_the_order_of_the_disk(animals, monkeypatch):
    first = read_tree_source(open_tree(animals))
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: list(scandir(path))[::-1])
    second = read_tree_source(open_tree(animals))
    assert first.images.names == second.images.names
    assert np.array_equal(first.labels, second.labels)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda root: shutil.rmtree(root / "dog"), "has 1 class folder"),
        (lambda root: [path.unlink() for path in (root / "dog").iterdir()], "dog has no files"),
        (lambda root: [good(root.parent / "set" / f"train/{n}", 1, 2) for n in ("cat", "dog")]
            + [good(root.parent / "set" / "test/bird", 1, 2), root.rename(root.parent / "old"),
               (root.parent / "set").rename(root)],
         "test has other classes than the training part: bird, cat, dog"),
    ],
)  # fmt: skip
def test_folder_that_is_no_data_set_is_refused(animals, make, given):
    make(animals)
    with pytest.raises(SpecError) as refused:
        read_tree_source(open_tree(animals))
    assert given in str(refused.value)


@pytest.fixture
def ordinary_user():
    """Become an ordinary user and return a folder of theirs, because root may read everything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)
    else:
        yield folder
    shutil.rmtree(folder)


def test_unreadable_files_are_left_out_and_named(spec, ordinary_user):
    for name in ("cat", "dog"):
        good(ordinary_user / "animals" / name, 0, 10)
    (ordinary_user / "animals" / "cat" / "003.jpg").chmod(0)
    found = splits(spec, ordinary_user / "animals", ordinary_user)
    assert found.skipped == (("cat/003.jpg", "Permission denied"),)


def test_an_unreadable_folder_is_refused(ordinary_user):
    for name in ("cat", "dog"):
        good(ordinary_user / "animals" / name, 0, 2)
    (ordinary_user / "animals" / "cat").chmod(0)
    with pytest.raises(SpecError) as refused:
        open_tree(ordinary_user / "animals")
    (ordinary_user / "animals" / "cat").chmod(0o700)
    assert f"{ordinary_user}/animals/cat cannot be read: Permission denied" in str(refused.value)


def zipped(folder: Path, file: Path, rename=lambda name: name) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, rename(str(path.relative_to(folder))))
    return file


def changed(file: Path, name: str, change) -> None:
    """Let `change` modify the bytes of a zip.

    It gets the contents, and where the local header and the directory entry of the file begin.
    """
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        local, central = archive.getinfo(name).header_offset, archive.start_dir
    while content[central + 46 : central + 46 + len(name)] != name.encode():
        central = content.index(b"PK\x01\x02", central + 4)
    change(content, local, central)
    file.write_bytes(content)


def encrypt(content: bytearray, local: int, central: int) -> None:
    content[local + 6] |= 1
    content[central + 8] |= 1


def damage(content: bytearray, local: int, central: int) -> None:
    content[local + 200 : local + 220] = bytes(20)


def lose_header(content: bytearray, local: int, central: int) -> None:
    content[local : local + 4] = b"lost"


def test_zip_is_read_like_a_folder_and_its_broken_entries_are_listed(spec, animals, tmp_path):
    for name, content in (odd.whole() | odd.grey()).items():
        (animals / "cat" / name).write_bytes(content)
    for name, (content, _) in odd.broken().items():
        (animals / "dog" / name).write_bytes(content)
    odd.litter(animals / "dog")
    file = zipped(animals, tmp_path / "animals.zip")
    folder, archive = (splits(spec, path, tmp_path) for path in (animals, file))
    assert archive.skipped == folder.skipped
    assert np.array_equal(archive.train.images, folder.train.images)
    assert archive.class_names == folder.class_names

    changed(file, "cat/001.jpg", encrypt)
    changed(file, "cat/002.jpg", damage)
    changed(file, "cat/003.jpg", lose_header)
    more = dict(splits(spec, file, tmp_path).skipped)
    assert more.pop("cat/001.jpg") == "encrypted"
    assert "Bad CRC" in (why := more.pop("cat/002.jpg")) or "decompressing" in why
    assert "Bad magic number" in more.pop("cat/003.jpg")
    assert tuple(more.items()) == folder.skipped


def test_zip_of_a_windows_program_with_a_folder_above_is_read(animals, tmp_path):
    file = zipped(animals, tmp_path / "x.zip", lambda name: f"animals/{name}".replace("/", "\\"))
    found = read_tree_source(open_tree(file))
    assert found.class_names == ("cat", "dog")
    assert found.images.read(0) == (animals / "cat" / "000.jpg").read_bytes()


def test_a_damaged_zip_is_refused(animals, tmp_path):
    file = zipped(animals, tmp_path / "animals.zip")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SpecError, match=r"animals\.zip cannot be read: File is not a zip file"):
        open_tree(file)


def test_zip_is_read_by_many_threads_at_once(animals, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    found = read_tree_source(open_tree(zipped(animals, tmp_path / "animals.zip")))
    expected = [(animals / name).read_bytes() for name in found.images.names]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(found.images.read, [*range(2 * GOOD)] * 5)) == expected * 5
