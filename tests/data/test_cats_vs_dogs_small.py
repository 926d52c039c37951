"""Cats and dogs are unpacked once, from archives and folders of many kinds."""

from collections import Counter

import pytest

from cnntrain.data.datasets.cats_vs_dogs_small import cats_vs_dogs_small
from cnntrain.errors import SpecError
from helpers.archives import foldered, zipped


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


def test_archive_cannot_write_outside_its_folder(tmp_path, given):
    zipped(given / "cats_and_dogs.zip", pets(3, 2) | {"train/cats/../../../../evil.jpg": b"evil"})
    cats_vs_dogs_small(tmp_path, given)
    assert not list(tmp_path.rglob("evil.jpg"))


def test_real_cats_and_dogs_have_the_published_counts(archives, tmp_path):
    found = cats_vs_dogs_small(tmp_path, archives)
    counts = {part: Counter(found.labels[rows].tolist()) for part, rows in found.parts.items()}
    assert counts == {"train": {0: 250, 1: 250}, "test": {0: 100, 1: 100}}
    assert found.notes == [
        "cats_vs_dogs_small: 500 + 200 photos from cats_and_dogs_700.zip, not the usual "
        "2,000 + 1,000"
    ]
