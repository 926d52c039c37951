"""Files are written whole, through no link, and hold nothing that a spreadsheet would run."""

import ast
import errno
import os
import stat
from pathlib import Path

import pytest
from filelock import FileLock

import cnntrain
from cnntrain.errors import SpecError
from cnntrain.files import writing
from cnntrain.files.locks import acquire_lock
from cnntrain.files.writing import (
    check_links_inside,
    escape_formula,
    open_existing,
    replace_by_path,
    write_whole,
)

PACKAGE = Path(cnntrain.__file__).parent


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd",
        "@SUM(A1)",
        "\t=1",
        " =1",
        "\n=1",
        "＝1",
        "-",
        "--5",
    ],
)
def test_cell_that_a_spreadsheet_would_run_is_quoted(cell):
    assert escape_formula(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-0.5", "+1e-4", "-inf", -0.5, 3, None, "", "cat", "a=b", "1-2"])
def test_numbers_and_other_texts_stay_as_they_are(cell):
    assert escape_formula(cell) == cell


@pytest.fixture
def victim(tmp_path):
    """Return a file that must stay as it is, and a folder with links to it."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run").mkdir()
    return tmp_path / "victim"


def test_file_in_place_of_a_link_leaves_what_the_link_led_to(victim, tmp_path):
    (tmp_path / "run" / "a.json").symlink_to(victim)
    write_whole(tmp_path / "run" / "a.json", "new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "run" / "a.json").is_symlink()
    assert (tmp_path / "run" / "a.json").read_text() == "new"


@pytest.mark.parametrize("mode", ["a", "ab", "rb+"])
def test_nothing_is_appended_through_a_link(victim, tmp_path, mode):
    (tmp_path / "run" / "train.log").symlink_to(victim)
    with pytest.raises(SpecError, match=r"train\.log is a link"):
        open_existing(tmp_path / "run" / "train.log", mode)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("mode", ["a", "ab", "rb+"])
def test_what_is_appended_does_not_reach_the_other_names_of_a_file(victim, tmp_path, mode):
    table = tmp_path / "run" / "history.csv"
    table.hardlink_to(victim)
    with open_existing(table, mode) as file:
        file.seek(0, os.SEEK_END)
        file.write("+" if mode == "a" else b"+")
    assert victim.read_text() == "precious"
    assert table.read_text() == "precious+"


def test_lock_does_not_empty_the_other_names_of_its_file(victim, tmp_path):
    (tmp_path / "run" / "lock").hardlink_to(victim)
    acquire_lock(FileLock(tmp_path / "run" / "lock"), 0)
    assert victim.read_text() == "precious"


def test_lock_in_a_file_is_refused(victim):
    with pytest.raises(SpecError, match="victim is no folder"):
        acquire_lock(FileLock(victim / "lock"), 0)


def test_written_file_has_the_permissions_that_the_user_gives_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", "x")
        open_existing(tmp_path / "b", "a").close()
    finally:
        os.umask(before)
    for name in "ab":
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640


def test_file_that_cannot_be_written_whole_leaves_the_old_one_alone(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.keras", "old")

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.keras", b"new")
    with pytest.raises(OSError, match="No space"), replace_by_path(tmp_path / "a.keras") as new:
        new.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.keras"]
    assert (tmp_path / "a.keras").read_text() == "old"


def test_links_out_of_a_directory_are_refused_and_those_inside_are_not(victim, tmp_path):
    run = tmp_path / "run"
    (run / "state").mkdir()
    (run / "wandb").mkdir()
    (run / "wandb" / "latest").symlink_to("../state")
    (tmp_path / "outputs").symlink_to(tmp_path)  # outputs/ on another disk is everyday
    check_links_inside(tmp_path / "outputs" / "run")
    (run / "state" / "last.state").symlink_to("../../victim")
    with pytest.raises(SpecError, match=r"last\.state is a link to .*victim"):
        check_links_inside(run)
    (run / "state" / "last.state").unlink()
    (run / "figures").symlink_to(tmp_path / "not there yet")
    with pytest.raises(SpecError, match="figures is a link"):
        check_links_inside(run)


def test_pipe_in_a_directory_is_refused_and_not_waited_on(tmp_path):
    os.mkfifo(tmp_path / "history.csv")
    with pytest.raises(SpecError, match="neither a file nor a folder"):
        check_links_inside(tmp_path)


# Other functions that open files to write, and why no link can lie in place of these files.
ALLOWED = {
    "data/fetch/archives.py": "new files in a new folder, which gets its name at the end",
    "data/fetch/download.py": "a .part that a break is gone on from",
    "data/photos/cache_folder.py": "the time of use of decoded photos, through a lock on the file",
    "files/writing.py": "the one way",
    "inference/convert.py": "a draft, a file or a folder, in a new folder",
    "inference/export_formats.py": "that draft",
    "data/photos/shared_memory.py": "memory that looks like a file",
    "planning/benchmark.py": "/proc",
    "reports/contact_sheet.py": "a new file, exclusively",
    "running/run.py": "copies in a temporary folder",
    "terminal/streams.py": "/dev/null",
    "visualization/folder.py": "a whole folder, in place of an older one",
}
WRITERS = {"write_text", "write_bytes", "touch", "tofile", "copyfile", "copy",
           "copytree", "copy2", "move", "mkstemp", "rename"}  # fmt: skip


def writes(node):
    """Whether a call opens a file to write, by its name or its mode."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    owner = getattr(getattr(node.func, "value", None), "id", "")
    if name in WRITERS:
        return name not in ("copy", "move") or owner == "shutil"
    if name in ("open", "truncate") and owner == "os":
        return True
    modes = [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
    values = [m.value for m in modes if isinstance(m, ast.Constant) and isinstance(m.value, str)]
    return name in ("open", "ZipFile") and any(
        len(value) <= 3 and set(value) & set("wax+") for value in values
    )


def test_nobody_else_opens_files_to_write():
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found == set(ALLOWED)
