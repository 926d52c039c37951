"""Photos that are only listed: the same images, whoever decodes them, and broken ones replaced."""

import json
import os
import shutil
import time

import numpy as np
import pytest

from cnntrain.data.fetch import folders
from cnntrain.data.fetch.folders import open_tree
from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.data.listing import find_followers
from cnntrain.data.photos import decoding_processes, lazy_images, photo_index
from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.errors import SpecError
from helpers import odd

COUNT = 40  # photos of each class
LONG_AGO = time.time_ns() - 3600 * 10**9


@pytest.fixture
def photos(tmp_path):
    """Make a folder of two classes of photos, an hour old."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(COUNT):
            file = tmp_path / "photos" / name / f"{number:03}.jpg"
            file.write_bytes(odd.encoded(odd.picture(1000 * label + number, 40, 30), quality=90))
            os.utime(file, ns=(LONG_AGO, LONG_AGO))
    for folder in (tmp_path / "photos", *(tmp_path / "photos").iterdir()):
        os.utime(folder, ns=(LONG_AGO, LONG_AGO))
    return tmp_path / "photos"


@pytest.fixture
def load(spec, photos, tmp_path):
    def load_splits(*overrides):
        words = ["dataset=image_folder", f"dataset.folder={photos}", "dataset.image_size=[16,16]"]
        return spec(*words, *overrides).dataset(tmp_path / "data", None)

    yield load_splits
    decoding_processes.set_decoding_processes(0)
    photo_index.open_index.cache_clear()


def spoil(file):
    file.write_bytes(b"nothing")


@pytest.mark.parametrize("decoders", [0, 2])
def test_listed_photos_have_the_pixels_and_the_splits_of_photos_that_are_read(load, decoders):
    expected = load("dataset.scan=all")
    decoding_processes.set_decoding_processes(decoders)
    found = load("dataset.scan=none")
    for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True):
        assert np.array_equal(part.images, other.images)
        assert np.array_equal(part.labels, other.labels)


def test_the_fingerprint_says_that_it_is_of_names(load, photos):
    before = compute_fingerprint(load("dataset.scan=none"))
    assert before.startswith("listing:")
    assert not compute_fingerprint(load("dataset.scan=all")).startswith("listing:")
    (photos / "cat" / "000.jpg").rename(photos / "cat" / "other.jpg")
    assert compute_fingerprint(load("dataset.scan=none")) != before


def test_many_photos_are_listed_and_few_are_read(load, monkeypatch):
    assert not isinstance(load().train.store, lazy_images.ListedImages)
    monkeypatch.setattr("cnntrain.data.listing.SCANNED_PHOTOS", 2 * COUNT - 1)
    assert isinstance(load().train.store, lazy_images.ListedImages)
    with pytest.raises(SpecError, match=r"dataset\.scan=all"):
        load("dataset.cache=memory")


def test_the_next_of_its_class_takes_the_place_of_a_broken_photo(load, photos):
    whole = load("dataset.scan=none").train
    cats = np.flatnonzero(whole.labels == 0)
    names = [whole.store.photos.names[row] for row in whole.locate_rows(cats)]
    for place in (3, 4, len(cats) - 1):  # two in a row, and the last one
        spoil(photos / names[place])
    found = load("dataset.scan=none").train
    replacing = {3: 5, 4: 5, len(cats) - 1: 0}
    for place, index in enumerate(cats):
        expected = whole.gather_images(cats[[replacing.get(place, place)]])
        assert np.array_equal(found.gather_images(np.array([index])), expected), place
    assert {found.store.photos.names[row] for row in found.store.replaced} == {
        names[place] for place in replacing
    }


def test_a_batch_with_broken_photos_is_the_same_whatever_was_asked_for_before(load, photos):
    for number in range(0, COUNT, 3):
        spoil(photos / "cat" / f"{number:03}.jpg")
    first, second = (load("dataset.scan=none").train for _ in range(2))
    rows = np.random.default_rng(0).permutation(len(first))
    second.gather_images(rows[::-1])
    decoding_processes.set_decoding_processes(2)
    assert np.array_equal(first.gather_images(rows), second.gather_images(rows))
    assert first.store.replaced == second.store.replaced


def test_a_resumed_run_knows_the_photos_that_were_replaced_before(load, photos):
    for number in (3, 7):
        spoil(photos / "cat" / f"{number:03}.jpg")
    first, second = (load("dataset.scan=none") for _ in range(2))
    images = [part.images for _, part in first.items()]
    before, after = first.train.store, second.train.store
    assert len(before.replaced) == 2
    after.restore(json.loads(json.dumps(before.to_facts())))
    assert after.replaced == before.replaced
    for own, (_, part) in zip(images, second.items(), strict=True):
        assert np.array_equal(part.images, own)


def test_a_photo_that_has_gone_ends_the_run_and_is_not_replaced(load, photos):
    found = load("dataset.scan=none").train
    (photos / found.store.photos.names[found.rows[0]]).unlink()
    with pytest.raises(OSError, match="No such file or directory"):
        _ = found.images


def test_what_can_never_be_read_is_replaced(load, photos):
    link = photos / "cat" / "003.jpg"
    link.unlink()
    link.symlink_to("nowhere.jpg")
    os.mkfifo(photos / "cat" / "pipe.jpg")
    splits = load("dataset.scan=none")
    for _, part in splits.items():
        _ = part.images
    store = splits.train.store
    assert {store.photos.names[row]: why for row, why in store.replaced.items()} == {
        "cat/003.jpg": "No such file or directory",
        "cat/pipe.jpg": "no ordinary file",
    }


def test_a_class_without_a_whole_photo_is_refused(load, photos):
    for file in (photos / "cat").iterdir():
        spoil(file)
    with pytest.raises(SpecError, match="no file of the class of cat/"):
        _ = load("dataset.scan=none").train.images


def test_followers_are_a_cycle_through_each_class_of_each_split():
    random = np.random.default_rng(1)
    rows = random.permutation(60)
    parts = {"train": rows[:40], "test": rows[40:55]}
    labels = {name: random.integers(0, 4, len(own)) for name, own in parts.items()}
    followers = find_followers(60, parts, labels)
    assert np.array_equal(followers[rows[55:]], rows[55:])
    for name, own in parts.items():
        for label in range(4):
            members = own[labels[name] == label]
            assert np.array_equal(followers[members], np.roll(members, -1))


def test_a_touched_photo_is_the_same_and_one_with_other_contents_is_named(load, photos):
    assert load("dataset.scan=none").train.store.index.find_files(["cat/000.jpg"]) == [None]
    for _, part in load("dataset.scan=none").items():
        _ = part.images
    os.utime(photos / "cat" / "000.jpg", ns=(LONG_AGO + 1, LONG_AGO + 1))
    other = photos / "cat" / "001.jpg"
    other.write_bytes((photos / "dog" / "001.jpg").read_bytes())
    os.utime(other, ns=(LONG_AGO + 1, LONG_AGO + 1))
    splits = load("dataset.scan=none")
    for _, part in splits.items():
        _ = part.images
    store = splits.train.store
    assert [store.photos.names[row] for row in store.changed] == ["cat/001.jpg"]


def test_a_photo_that_was_only_just_written_is_looked_at_again(load, photos):
    file = photos / "cat" / "000.jpg"
    file.touch()
    splits = load("dataset.scan=none")
    for _, part in splits.items():
        _ = part.images
    found = splits.train.store.index.find_files(["cat/000.jpg", "cat/001.jpg"])
    assert [facts is None for facts in found] == [True, False]


# The names.


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(folders, "SCANNED_PHOTOS", 10)


def test_names_are_kept_until_a_folder_changes(photos, tmp_path, large, monkeypatch):
    cache = tmp_path / "data" / CACHE_FOLDER
    first = open_tree(photos, cache)
    monkeypatch.setattr(folders, "walk_folder", None)  # it is not needed
    assert open_tree(photos, cache).names == first.names
    monkeypatch.undo()
    monkeypatch.setattr(folders, "SCANNED_PHOTOS", 10)
    (photos / "cat" / "new.jpg").touch()
    assert "new.jpg" in open_tree(photos, cache).names[folders.ROOT / "cat"]
    shutil.rmtree(photos / "dog")
    assert folders.ROOT / "dog" not in open_tree(photos, cache).names


def test_names_of_a_folder_that_has_only_just_changed_are_not_kept(photos, tmp_path, large):
    cache = tmp_path / "data" / CACHE_FOLDER
    (photos / "cat" / "new.jpg").touch()
    open_tree(photos, cache)
    assert photo_index.open_index(photos, cache).find_names(photos) is None


def test_a_damaged_index_is_made_anew(photos, tmp_path, large):
    cache = tmp_path / "data" / CACHE_FOLDER
    expected = open_tree(photos, cache).names
    file = photo_index.locate_index(photos, cache)
    photo_index.open_index.cache_clear()
    file.write_bytes(b"no database" * 1000)
    assert open_tree(photos, cache).names == expected
    photo_index.open_index.cache_clear()
    assert photo_index.open_index(photos, cache).find_names(photos) == expected


def test_an_index_that_cannot_be_written_is_done_without(load, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / CACHE_FOLDER).write_text("no folder")
    _ = load("dataset.scan=none").train.images
    assert "cannot be used" in capsys.readouterr().err
