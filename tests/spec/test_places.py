"""Runs find data that has moved, relative paths and odd names, or say what to type."""

import builtins
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image

from cnntrain.cli.main import main
from cnntrain.running import resume
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import read_config
from cnntrain.spec.places import replace_paths, resolve_relative_paths
from cnntrain.spec.renames import ADDED, add_knobs


def photos(folder: Path, count: int = 12) -> Path:
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            colour = (120 * number + index, index, 90)
            Image.new("RGB", (20, 20), colour).save(folder / name / f"{index:02}.png")
    return folder


WORDS = ("dataset=image_folder", "dataset.image_size=[32,32]", "tracking=none", "batch_size=8")


@pytest.fixture
def relative(tmp_path, monkeypatch, left_behind):
    """Return an interrupted run whose paths are relative to tmp_path/here."""
    for name in ("here", "elsewhere", "here/archives"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    photos(tmp_path / "here" / "photos")
    words = (*WORDS, "dataset.folder=photos", "data_dir=data", "manual_dir=archives")
    folder = left_behind("run", *words, status="interrupted")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def reopened(folder, *overrides):
    resumed = resume.read_resumed_run(str(folder), overrides)
    run, _ = resume.reopen_run(resumed)
    run.lock.release()
    return resumed.spec


def test_relative_paths_are_those_of_where_the_run_began(relative, tmp_path):
    before = read_config(Run(relative))
    checked = reopened(relative)
    here = tmp_path / "here"
    assert checked.dataset["folder"] == str(here / "photos")
    assert (checked.data_dir, checked.manual_dir) == (str(here / "data"), str(here / "archives"))
    assert read_config(Run(relative)) == before
    assert before["dataset"]["folder"] == "photos"


def test_missing_folder_is_named_in_full_and_the_answer_works(relative, tmp_path, command):
    moved = (tmp_path / "here" / "photos").rename(tmp_path / "new place")
    text = Run(relative).spec.read_text()
    refused = command("resume", str(relative), "max_steps=4")
    assert refused.returncode == 2
    assert f"dataset.folder is {tmp_path}/here/photos, which is not there" in refused.stderr
    hint = f"cnntrain resume {relative} max_steps=4 dataset.folder=/where/it/is/now"
    assert refused.stderr.endswith(f"try       {hint}\n")
    assert Run(relative).spec.read_text() == text
    shutil.move(moved, tmp_path / "moved")
    checked = reopened(relative, "max_steps=4", f"dataset.folder={tmp_path}/moved")
    assert checked.dataset["folder"] == f"{tmp_path}/moved"
    assert reopened(relative).dataset["folder"] == f"{tmp_path}/moved"


def test_new_relative_folder_is_resolved_from_here(relative, tmp_path):
    (tmp_path / "here" / "photos").rename(tmp_path / "elsewhere" / "pictures")
    assert reopened(relative, "dataset.folder=pictures").dataset["folder"] == (
        f"{tmp_path}/elsewhere/pictures"
    )
    os.chdir(tmp_path)
    assert reopened(relative).dataset["folder"] == f"{tmp_path}/elsewhere/pictures"


def test_where_data_lies_decides_nothing_and_old_runs_open(relative, spec):
    checked = reopened(relative)
    assert checked.hash == spec(*WORDS, "dataset.folder=x").hash
    run = Run(relative)
    record = run.read_run_json()
    del record["paths"]
    run.record.write_text(json.dumps(record))
    os.chdir(relative.parent / "here")
    assert reopened(relative).dataset["folder"] == str(relative.parent / "here" / "photos")


def test_folder_in_data_dir_is_recorded_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "photos").mkdir(parents=True)
    found = resolve_relative_paths({"data_dir": "data", "dataset": {"folder": "photos"}})
    assert found["dataset.folder"] == f"{tmp_path}/data/photos"


def test_home_and_absolute_paths_stay_and_weights_keep_their_text():
    config = {"data_dir": "~/data", "manual_dir": "/archives", "init_from": "runs/a"}
    found = resolve_relative_paths(config)
    assert found == {"init_from": str(Path("runs/a").absolute())}
    assert replace_paths(config, found)["init_from"] == "runs/a"  # a part of the spec


def test_finished_run_without_its_data_is_finished(left_behind, tmp_path):
    folder = left_behind("run", *WORDS, f"dataset.folder={photos(tmp_path / 'photos')}")
    shutil.rmtree(tmp_path / "photos")
    resumed = resume.read_resumed_run(str(folder), ["dataset.folder=/gone"])
    run, (note,) = resume.reopen_run(resumed)
    run.lock.release()
    assert "is finished" in note


@pytest.mark.slow
def test_run_goes_on_with_photos_that_have_moved(tmp_path, command):
    photos(tmp_path / "photos")
    begun = command(*WORDS, "dataset.folder=photos", "epochs=1", "data_dir=.", "hydra.run.dir=run")
    assert begun.returncode == 0, begun.stderr
    (tmp_path / "photos").rename(tmp_path / "moved")
    done = command("resume", "run", "epochs=2", "dataset.folder=moved")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "history.csv").read_text().count("\n") == 3
    Image.new("RGB", (20, 20)).save(tmp_path / "moved" / "cat" / "00.png")
    refused = command("resume", "run", "epochs=3")
    assert refused.returncode == 2
    assert "the images are not those that the run began with" in refused.stderr
    assert "cnntrain resume run dataset.folder=/where/those/are" in refused.stderr


ODD = ["line\nseed: 7",
       "carriage\rseed: 7", "separator\u2028seed: 7", "nel\x85seed: 7", "\x0bseed",
       "paragraph\u2029seed: 7", "\udcff no utf-8", "tab\t#",
       "größe 猫", "null: [a, {b: c"]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_no_path_becomes_settings_and_each_is_read_back(tmp_path, name):
    config = {"seed": 3, "dataset": {"folder": name}}
    run = Run.claim(tmp_path / "run", config, [f"dataset.folder={name}"])
    text = run.spec.read_text(encoding="utf-8")
    assert read_config(run) == ADDED | add_knobs(config)
    assert yaml.safe_load(text) == config
    assert len(text.splitlines()[0]) > len("# cnntrain dataset.folder=")
    assert "seed: 7" not in text.splitlines()[1]
    assert run.read_run_json()["overrides"] == [f"dataset.folder={name}"]


REFUSED = [
    ("dataset=image_folder dataset.folder=missing", "dataset.folder is missing, which is not"),
    ("data verify image_folder dataset.folder=missing", "dataset.folder is missing, which is not"),
    ("data prepare digits data_dir=file", "data_dir is file, which is a file"),
    ("data list manual_dir=file", "manual_dir is file, which is a file"),
    ("dataset=mnist manual_dir=file", "manual_dir is file, which is a file"),
    ("-m seed=1,2 dataset=image_folder dataset.folder=missing", "dataset.folder is missing"),
]


@pytest.mark.parametrize(("words", "given"), REFUSED)
def test_missing_data_is_answered_before_tensorflow_is_loaded(
    words, given, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    plain = builtins.__import__

    def refuse(name, *arguments, **options):
        assert name.split(".")[0] not in ("tensorflow", "keras"), "TensorFlow is loaded"
        assert not name.startswith("cnntrain.training.trainer"), "TensorFlow is loaded"
        return plain(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert given in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_may_not_be_entered_is_answered(tmp_path, monkeypatch, capsys):
    (tmp_path / "locked").mkdir()

    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cnntrain.spec.places.os", SimpleNamespace(**vars(os) | {"scandir": deny}))
    with pytest.raises(SystemExit) as ended:
        main(["dataset=image_folder", f"dataset.folder={tmp_path / 'locked'}"])
    assert ended.value.code == 2
    assert "locked, which is out of reach: Permission denied" in capsys.readouterr().err
