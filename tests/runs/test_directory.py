"""A run directory is claimed once, written whole, and removed if nothing was trained."""

import errno
import json
import os

import pytest
import yaml

from cnntrain.errors import SpecError
from cnntrain.files.documents import write_json
from cnntrain.runs.directory import Run


def test_claimed_directory_cannot_be_claimed_again(tmp_path):
    Run.claim(tmp_path / "a" / "run", {"seed": 0}, ["seed=0"])
    with pytest.raises(SpecError, match="already holds a run"):
        Run.claim(tmp_path / "a" / "run", {}, [])


def test_record_says_what_the_numbers_depend_on(tmp_path):
    run = Run.claim(tmp_path / "run", {"seed": 0}, ["seed=0"])
    record = run.read_run_json()
    assert record["status"] == "running"
    assert {"tensorflow", "keras", "numpy", "python"} <= set(record["versions"])
    run.record_end("finished", seconds={"total": 1.0})
    assert run.read_run_json()["status"] == "finished"
    text = (tmp_path / "run" / "spec.yaml").read_text()
    assert text.startswith("# cnntrain seed=0\n")
    assert yaml.safe_load(text) == {"seed": 0}


def test_discarded_run_leaves_nothing(tmp_path):
    run = Run.claim(tmp_path / "a" / "b", {}, [])
    run.discard()
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_json_lacks_become_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.5], "b": float("inf")})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.5], "b": None}


def test_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path, monkeypatch):
    write_json(tmp_path / "x.json", {"a": 1})

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(tmp_path / "x.json", {"a": 2})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_rows_are_appended_under_one_header(tmp_path):
    run = Run.claim(tmp_path / "run", {}, [])
    run.append_row("history.csv", {"epoch": 1, "train.loss": 0.5})
    run.append_row("history.csv", {"epoch": 2, "train.loss": 0.25})
    text = (tmp_path / "run" / "history.csv").read_text()
    assert text == "epoch,train.loss\n1,0.5\n2,0.25\n"


def test_table_that_an_older_version_began_keeps_its_columns(tmp_path):
    run = Run.claim(tmp_path / "run", {}, [])
    run.append_row("history.csv", {"epoch": 1, "train.loss": 0.5})
    run.append_row("history.csv", {"epoch": 2, "valid.macro_f1": 0.7, "train.loss": 0.25})
    text = (tmp_path / "run" / "history.csv").read_text()
    assert text == "epoch,train.loss\n1,0.5\n2,0.25\n"


def test_open_table_has_each_row_in_the_file_at_once(tmp_path):
    run = Run.claim(tmp_path / "run", {}, [])
    with run.open_table("steps.csv") as table:
        assert not run.steps.exists()  # before the first row there is nothing to be truncated
        for step in (1, 2):
            table.append_row({"step": step})
            assert run.steps.read_bytes() == b"step\r\n1\r\n2\r\n"[: 6 + 3 * step]
            assert run.count_table_bytes("steps.csv") == 6 + 3 * step


def test_row_goes_into_no_other_name_and_no_removed_file(tmp_path):
    run = Run.claim(tmp_path / "run", {}, [])
    with run.open_table("steps.csv") as table:
        table.append_row({"step": 1})
        os.link(run.steps, tmp_path / "copy.csv")  # as by `cp -l`
        table.append_row({"step": 2})
        assert (tmp_path / "copy.csv").read_text() == "step\n1\n"
        assert run.steps.read_text() == "step\n1\n2\n"
        run.steps.unlink()
        table.append_row({"step": 3})
        assert run.steps.read_text() == "step\n3\n"


def test_row_goes_through_no_link(tmp_path):
    run = Run.claim(tmp_path / "run", {}, [])
    run.steps.symlink_to(tmp_path / "elsewhere.csv")
    with run.open_table("steps.csv") as table, pytest.raises(SpecError, match="is a link"):
        table.append_row({"step": 1})
    assert not (tmp_path / "elsewhere.csv").exists()


def test_open_table_that_an_older_version_began_keeps_its_columns(tmp_path):
    run = Run.claim(tmp_path / "run", {}, [])
    run.append_row("history.csv", {"epoch": 1, "train.loss": 0.5})
    with run.open_table("history.csv") as table:
        table.append_row({"valid.loss": 0.7, "train.loss": 0.25, "epoch": 2})
    assert run.history.read_text() == "epoch,train.loss\n1,0.5\n2,0.25\n"
