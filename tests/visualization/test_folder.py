import contextlib

import pytest

from cnntrain.errors import SpecError
from cnntrain.visualization.folder import OutputFolder


def look_at(folder, text):
    with folder.open_draft_folder() as place:
        (place / "look.json").write_text(f'{{"image": "{text}"}}')
        (place / "look.html").write_text(text)


def test_a_look_that_fails_leaves_the_one_before(tmp_path):
    look_at(OutputFolder(tmp_path / "cat"), "first")
    with (
        contextlib.suppress(KeyboardInterrupt),
        OutputFolder(tmp_path / "cat").open_draft_folder() as place,
    ):
        (place / "look.html").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "cat" / "look.html").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / ".cat.new").mkdir()
    (tmp_path / ".cat.new" / "look.html").write_text("half")
    look_at(OutputFolder(tmp_path / "cat"), "first")
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


def test_pictures_of_one_name_have_folders_of_their_own(tmp_path):
    for origin, name in (("/a/cat.jpg", "cat"), ("/b/cat.jpg", "cat_2"), ("/a/cat.jpg", "cat")):
        folder = OutputFolder.claim(None, tmp_path, "cat", origin)
        assert folder.path == tmp_path / name
        look_at(folder, origin)


def test_nothing_of_other_people_is_replaced(tmp_path):
    look_at(OutputFolder(tmp_path / "cat"), "/a/cat.jpg")
    (tmp_path / "cat" / "notes.txt").write_text("mine")
    assert OutputFolder.claim(None, tmp_path, "cat", "/a/cat.jpg").path == tmp_path / "cat_2"
    with pytest.raises(SpecError, match="not empty"):
        OutputFolder.claim(str(tmp_path / "cat"), tmp_path, "cat", "/a/cat.jpg")
    with pytest.raises(SpecError, match="is a file"):
        OutputFolder.claim(str(tmp_path / "cat" / "notes.txt" / "x"), tmp_path, "cat", "/a/cat.jpg")
