"""The folder of a look is written whole or not at all, and replaces nothing but an older look."""

import contextlib

import pytest

from cnntrain.errors import SpecError
from cnntrain.visualization.folder import OutputFolder


def write_look(folder, origin):
    """Write a look at the picture from `origin`, which is the text of its page, too."""
    with folder.open_draft_folder() as draft:
        (draft / "look.json").write_text(f'{{"image": "{origin}"}}')
        (draft / "look.html").write_text(origin)


def test_a_look_that_fails_leaves_the_older_look(tmp_path):
    write_look(OutputFolder(tmp_path / "cat"), "first")
    with (
        contextlib.suppress(KeyboardInterrupt),
        OutputFolder(tmp_path / "cat").open_draft_folder() as draft,
    ):
        (draft / "look.html").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "cat" / "look.html").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


def test_a_look_clears_what_a_killed_process_left(tmp_path):
    (tmp_path / ".cat.new").mkdir()
    (tmp_path / ".cat.new" / "look.html").write_text("half")
    write_look(OutputFolder(tmp_path / "cat"), "first")
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


def test_pictures_with_the_same_name_have_different_folders(tmp_path):
    for origin, name in (("/a/cat.jpg", "cat"), ("/b/cat.jpg", "cat_2"), ("/a/cat.jpg", "cat")):
        folder = OutputFolder.claim(None, tmp_path, "cat", origin)
        assert folder.path == tmp_path / name
        write_look(folder, origin)


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    write_look(OutputFolder(tmp_path / "cat"), "/a/cat.jpg")
    (tmp_path / "cat" / "notes.txt").write_text("mine")
    assert OutputFolder.claim(None, tmp_path, "cat", "/a/cat.jpg").path == tmp_path / "cat_2"
    with pytest.raises(SpecError, match="not empty"):
        OutputFolder.claim(str(tmp_path / "cat"), tmp_path, "cat", "/a/cat.jpg")
    with pytest.raises(SpecError, match="is a file"):
        OutputFolder.claim(str(tmp_path / "cat" / "notes.txt" / "x"), tmp_path, "cat", "/a/cat.jpg")
