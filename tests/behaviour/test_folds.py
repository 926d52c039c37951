"""Folds, groups and balanced sampling through the command line, to the page and the comparison."""

import json

import numpy as np
import pytest
from PIL import Image

from cnntrain.runs.directory import Run
from helpers.run_files import read_rows

SHORT = ["model=lenet5", "epochs=2", "batch_size=16", "schedule=constant", "dataset.valid=0.2"]


@pytest.fixture
def uneven(tmp_path):
    """Photos of three classes, two a scene: 40 light, 24 grey and 8 dark ones."""
    random = np.random.default_rng(0)
    for name, count, level in (("light", 40, 200), ("grey", 24, 120), ("dark", 8, 40)):
        for number in range(count):
            file = tmp_path / "photos" / name / f"{name}_scene_{number // 2}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            noise = random.integers(-30, 30, (16, 16, 3))
            Image.fromarray((level + noise).astype(np.uint8)).save(file)
    return ["dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}", *SHORT]


def read_tested_files(run):
    """Return the files that predictions.csv of a run has as test images."""
    rows = [row.split(",") for row in (run / "predictions.csv").read_text().splitlines()[1:]]
    return [file for file, split, *_ in rows if split == "test"]


def assert_each_scene_is_tested_once(runs):
    tested = [read_tested_files(run) for run in runs]
    scenes = [{file.split("/")[1] for file in own} for own in tested]
    assert len({file for own in tested for file in own}) == sum(map(len, tested)) == 72
    assert len(set.union(*scenes)) == sum(map(len, scenes)) == 36


def test_runs_of_all_folds_are_one_row_and_every_image_is_tested_once(answer, uneven, tmp_path):
    words = [*uneven, "dataset.folds=3", "dataset.groups=folder"]
    for fold in range(3):
        done = answer(*words, f"dataset.fold={fold}", f"hydra.run.dir=fold{fold}")
        assert done.returncode == 0, done.stderr
        assert f"Fold {fold} of 3, counted from 0, is the test split" in done.stdout
        assert "Groups (dataset.groups=folder): 36 of 2 images each" in done.stdout
        page = (tmp_path / f"fold{fold}" / "report.html").read_text()
        assert f"Fold {fold} of 3, counted from 0, is the test split." in page
    assert_each_scene_is_tested_once([tmp_path / f"fold{fold}" for fold in range(3)])
    compared = answer("compare", "fold0", "fold1", "fold2", "--json")
    (group,) = json.loads(compared.stdout)["groups"]
    assert sorted(group["folds"]["values"]) == ["0", "1", "2"]
    assert group["folds"]["out_of_fold"]["images"] == 72
    assert "over 3 folds (95 % interval" in answer("compare", "fold0", "fold1", "fold2").stdout
    evaluated = json.loads(answer("evaluate", "fold1", "--json").stdout)
    report = json.loads((tmp_path / "fold1" / "report.json").read_text())
    assert evaluated["accuracy"] == pytest.approx(report["test"]["best"]["accuracy"])


@pytest.mark.slow
def test_a_sweep_over_folds_shows_their_mean_with_an_interval(command, uneven, tmp_path):
    words = [*uneven, "dataset.folds=3", "dataset.groups=folder"]
    done = command("-m", "dataset.fold=range(3)", *words, "hydra.sweep.dir=folds")
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert "over 3 folds (95 % interval" in " ".join(done.stdout.split())
    assert "of 72 images are right" in " ".join(done.stdout.split())
    assert_each_scene_is_tested_once(sorted((tmp_path / "folds").glob("[0-9]*")))
    page = (tmp_path / "folds" / "sweep.html").read_text()
    assert "over 3 folds (95 % interval" in page


@pytest.mark.parametrize("pipeline", [pytest.param("host", marks=pytest.mark.slow), "device"])
def test_balanced_sampling_is_said_and_goes_on_exactly(answer, uneven, tmp_path, pipeline):
    words = [*uneven, "dataset.sampling=balanced", f"pipeline={pipeline}"]
    whole = answer(*words, "epochs=3", "hydra.run.dir=whole")
    assert whole.returncode == 0, whole.stderr
    assert "Balanced sampling: each class comes about" in whole.stdout
    assert "unbalanced" not in whole.stdout
    page = (tmp_path / "whole" / "report.html").read_text()
    assert "Each class came equally often in an epoch (balanced sampling)." in page
    assert answer(*words, "epochs=1", "hydra.run.dir=part").returncode == 0
    assert answer("resume", "part", "epochs=3").returncode == 0
    rows = [read_numbers(tmp_path / name) for name in ("whole", "part")]
    assert rows[0] == rows[1]


def read_numbers(folder):
    """Return the rows of history.csv without times."""
    return [
        {key: value for key, value in row.items() if "second" not in key}
        for row in read_rows(Run(folder))
    ]


def test_plan_verify_and_preview_show_the_fold(answer, uneven, tmp_path):
    words = [*uneven, "dataset.folds=4", "dataset.fold=1", "dataset.sampling=balanced"]
    planned = answer("plan", *words)
    assert planned.returncode == 0, planned.stderr
    assert "Fold 1 of 4, counted from 0, is the test split" in planned.stdout
    assert "Balanced sampling" in planned.stdout
    verified = answer("data", "verify", "image_folder", *words[1:])
    assert "test: cut from train, fold 1 of 0 to 3, stratified, split_seed=0" in verified.stdout
    assert answer("data", "preview", "image_folder", *words[1:]).returncode == 0
