"""What `fit` sees of photos before they are decoded."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from cnntrain.data.fetch.folders import open_tree, read_tree_source
from cnntrain.errors import SpecError
from cnntrain.planning import photo_facts
from cnntrain.planning.photo_facts import (
    count_shared_doubles,
    describe_photos,
    look_at_photos,
)
from helpers.odd import encoded, picture, turned
from helpers.tiny import write_photos


def look(folder):
    return look_at_photos(read_tree_source(open_tree(folder)))


@pytest.fixture
def photos(tmp_path):
    """Twelve cats and twelve dogs of 20x30 pixels."""
    return write_photos(tmp_path / "photos")


def test_classes_sizes_and_colours_are_counted(photos):
    facts, source = look(photos)
    assert facts.classes == {"cat": 12, "dog": 12}
    assert facts.parts == {"train": 24}
    assert (facts.size, facts.has_one_size, facts.is_grey) == ((20, 30), True, False)
    assert facts.imbalance == 1
    assert facts.is_complete
    assert len(source.parts["train"]) == 24
    assert describe_photos(facts) == [
        "24 photos of 2 classes, 12 of each; all 20x30 (height x width), in colour"
    ]


def test_what_the_source_notes_is_said(photos):
    shutil.copy(photos / "cat" / "00.png", photos / "lone.png")
    facts, source = look(photos)
    assert describe_photos(facts)[1:] == list(source.notes)
    assert "files in no class folder have no label and are left out: 1" in source.notes[0]


def test_a_photo_is_measured_upright(tmp_path, photos):
    for file in photos.glob("cat/*.png"):
        file.unlink()
    (photos / "cat" / "turned.jpg").write_bytes(turned(6))  # 48 wide and 32 high, once upright
    assert (32, 48) in {(seen.height, seen.width) for seen in look(photos)[0].looks}


def test_broken_files_are_named_and_left_out(photos):
    (photos / "cat" / "text.png").write_text("no image")
    (photos / "dog" / "empty.jpg").write_bytes(b"")
    (photos / "cat" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    facts, source = look(photos)
    assert facts.broken == [
        ("cat/phone.heic", "HEIC is not read: convert it to JPEG"),
        ("cat/text.png", "no image of a known format"),
        ("dog/empty.jpg", "it is empty"),
    ]
    assert facts.classes == {"cat": 12, "dog": 12}
    assert len(source.parts["train"]) == 24
    assert "left out, being no images: cat/phone.heic" in describe_photos(facts)[1]


def test_a_class_without_an_image_is_refused(photos):
    for file in photos.glob("dog/*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(SpecError, match="none of the 12 files of dog in train is an image"):
        look(photos)


def test_exact_doubles_are_found_within_and_across_splits(photos):
    shutil.copy(photos / "cat" / "00.png", photos / "cat" / "again.png")
    shutil.copy(photos / "cat" / "01.png", photos / "dog" / "disguised.png")
    facts, _ = look(photos)
    named = [[facts.names[row] for row in rows] for rows in facts.find_doubles()]
    assert named == [["cat/00.png", "cat/again.png"], ["cat/01.png", "dog/disguised.png"]]
    assert "2 files are exact doubles of others" in describe_photos(facts)[1]
    first, second = facts.find_doubles()[1]
    rows = {"train": np.array([first]), "test": np.array([second])}
    assert count_shared_doubles(facts, rows) == 1
    assert count_shared_doubles(facts, {"train": np.array([first, second])}) == 0


def test_grey_photos_are_seen_as_grey(tmp_path):
    for seed, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        grey = picture(seed).convert("L")
        (tmp_path / name / "1.png").write_bytes(encoded(grey, "PNG"))
        (tmp_path / name / "2.png").write_bytes(encoded(grey.resize((9, 9)), "PNG"))
    facts, _ = look(tmp_path)
    assert facts.is_grey
    assert not facts.has_one_size


def test_of_very_many_photos_some_stand_for_all(photos, monkeypatch):
    monkeypatch.setattr(photo_facts, "COMPARED_PHOTOS", 10)
    monkeypatch.setattr(photo_facts, "LOOKED_AT", 5)
    facts, _ = look(photos)
    assert len(facts.looks) == 5
    assert facts.classes == {"cat": 12, "dog": 12}
    assert "looked at 5 of 24; doubles were not sought" in describe_photos(facts)[-1]


def test_parts_are_named(tmp_path):
    for part in ("train", "test"):
        write_photos(tmp_path / part, count=4)
    facts, _ = look(tmp_path)
    assert facts.parts == {"train": 8, "test": 8}
    assert describe_photos(facts)[1] == "parts of their own: 8 train, 8 test"


def test_photos_of_several_labels_are_counted_for_each_without_broken_ones(photos):
    (photos / "cat" / "text.png").write_text("no image")
    source = read_tree_source(open_tree(photos))
    both = np.stack([source.labels == 0, np.ones(25)], axis=1).astype(np.uint8)
    facts, kept = look_at_photos(replace(source, labels=both))
    assert facts.has_several_labels
    assert facts.classes == {"cat": 12, "dog": 24}
    assert len(kept.parts["train"]) == 24
