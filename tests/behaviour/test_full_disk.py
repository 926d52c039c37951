"""A full disk, or one without locks, costs a line and leaves nothing half made."""

import errno
import os

import pytest

from cnntrain.errors import SpecError
from cnntrain.files import locks
from cnntrain.running.run import train_and_record_end
from cnntrain.runs import directory
from cnntrain.runs.directory import Run
from cnntrain.runs.results import read_run
from cnntrain.sweeps.directory import Sweep
from helpers.processes import PLAN


def test_sweep_on_a_full_disk_gives_its_directory_back(tmp_path, monkeypatch):
    monkeypatch.setattr(Sweep, "write_plan", full_write)
    with pytest.raises(SpecError, match="cannot be written: No space left"):
        Sweep.begin(tmp_path / "a" / "s", PLAN, [["seed=1"]])
    assert list(tmp_path.iterdir()) == []


def test_table_is_cut_to_whole_rows_and_never_filled(left_behind):
    run = Run(left_behind("a", accuracies=[0.1, 0.2, 0.3]))
    table = run.folder / "history.csv"
    whole = table.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert run.truncate_table("history.csv", len(whole))
    table.write_bytes(whole + b"4,40,")
    assert run.truncate_table("history.csv", len(whole))
    assert table.read_bytes() == whole
    for left in (whole[:-5], whole[: -len(lines[-1])] + b"\0" * len(lines[-1])):
        table.write_bytes(left)
        assert not run.truncate_table("history.csv", len(whole))
        assert table.read_bytes() == b"".join(lines[:-1])
    table.unlink()
    assert not run.truncate_table("history.csv", len(whole))
    assert run.truncate_table("history.csv", 0)


def full_disk(*args):
    """What Keras makes of a disk that is full."""
    try:
        raise OSError("Can't write data (file write failed: errno = 28, error message = 'No')")
    except OSError as error:
        raise ValueError("cannot be saved") from error


@pytest.mark.parametrize("also", [False, True])
def test_full_disk_is_a_line_and_the_run_has_failed(left_behind, monkeypatch, capsys, also):
    run = Run(left_behind("a", status="running"))
    monkeypatch.setattr("cnntrain.running.run.train_and_show", full_disk)
    if also:  # no room for another run.json either
        monkeypatch.setattr("cnntrain.runs.directory.write_json", full_write)
        monkeypatch.setattr(Run, "log_line", full_write)
    assert train_and_record_end(None, run) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(
        f"Failed: no space left on device below {run.folder}; cnntrain resume"
    )
    assert read_run(run.folder).status == "failed"


def full_write(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_directory_on_a_full_disk_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "write_spec", full_write)
    with pytest.raises(SpecError, match="cannot be written: No space left"):
        Run.claim(tmp_path / "a" / "run", {}, [])
    assert list(tmp_path.iterdir()) == []


def test_directory_is_given_back_if_ctrl_c_comes_before_it_is_whole(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(directory, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Run.claim(tmp_path / "a" / "run", {}, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", locks.NO_LOCK_ERRORS)
def test_file_system_without_locks_costs_a_warning(tmp_path, monkeypatch, capsys, number):
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    Run.claim(tmp_path / "run", {"seed": 0}, [])
    Run.reopen(tmp_path / "run")
    Sweep.begin(tmp_path / "sweep", PLAN, [["seed=1"]])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2  # once for each directory
    assert "is on a file system without locks" in said[0]
