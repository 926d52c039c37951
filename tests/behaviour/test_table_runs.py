"""Runs on a table of photos through the command line: weighed, resumed, moved, evaluated, used."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cnntrain.runs.directory import Run
from helpers import odd
from helpers.run_files import are_equal, load_weights, read_rows

RUN = (
    "dataset=table", "dataset.table=set/labels.csv", "dataset.image_size=[32,32]", "batch_size=16",
    "model=cnn_cifar", "model.filters=[4,8]", "model.hidden=16", "log_every=1",
)  # fmt: skip
STEP = ("epochs=3", "schedule=constant", "accumulate=2", "augmentation=mixup", "ema_decay=0.9")
JAX = os.environ | {"KERAS_BACKEND": "jax"}


@pytest.fixture
def table(tmp_path):
    """A table of 96 photos of two classes, with splits and weights."""
    rows = [["path", "class", "split", "weight"]]
    (tmp_path / "set" / "photos").mkdir(parents=True)
    for number in range(96):
        name, hue = [("red", [2, 1, 1]), ("blue", [1, 1, 2])][number % 2]
        noise = np.random.default_rng(number).integers(0, 120, (30, 40, 3))
        image = odd.Image.fromarray((noise * hue).astype(np.uint8))
        (tmp_path / "set" / "photos" / f"{number}.jpg").write_bytes(odd.encoded(image))
        split = "val" if number < 16 else "test" if number < 32 else "train"
        rows.append([f"photos/{number}.jpg", name, split, 1 + number % 5])
    write_table(tmp_path / "set" / "labels.csv", rows)
    return tmp_path / "set" / "labels.csv"


def write_table(file, rows):
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows(rows)


def read_objectives(run):
    return [row["train.objective"] for row in read_rows(Run(run))]


def test_a_run_on_a_table_is_evaluated_exported_and_shown(table, answer, tmp_path):
    done = answer(*RUN, "epochs=2", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "64 train, 16 valid, 16 test" in done.stdout
    note = "labels.csv: file from path, label from class, split from split, weight from weight"
    assert note in (page := (tmp_path / "run" / "report.html").read_text())
    assert "images weigh from 1 to 5 in the training loss" in page
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["origin"]["test"] == "the column split"
    assert record["class_names"] == ["blue", "red"]

    done = answer("evaluate", "run", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    found = json.loads(done.stdout)
    assert found["accuracy"] == pytest.approx(report["test"]["best"]["accuracy"])

    rows = [[f"photos/{n}.jpg", ["red", "blue"][n % 2], "test"] for n in range(20)]
    write_table(table.with_name("new.csv"), [["file", "label", "split"], *rows])
    done = answer("evaluate", "run", "dataset=table", "dataset.table=set/new.csv", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 20

    done = answer("predict", "run", "set/photos/40.jpg", "--jsonl")
    assert done.returncode == 0, done.stderr
    assert answer("export", "run", "--format", "keras").returncode == 0
    assert answer("report", "run").returncode == 0
    shutil.move(table.parent, tmp_path / "moved")
    moved = answer("evaluate", "run", "dataset.table=moved/labels.csv", "--json")
    assert moved.returncode == 0, moved.stderr
    assert json.loads(moved.stdout)["accuracy"] == found["accuracy"]
    gone = answer("evaluate", "run")
    assert gone.returncode == 2
    assert "labels.csv, which is not there" in gone.stderr


@pytest.mark.slow
def test_a_weighed_run_goes_on_where_it_stopped_and_has_the_same_bits_on_a_device(
    table, answer, tmp_path
):
    assert answer(*RUN, *STEP, "hydra.run.dir=whole").returncode == 0
    assert answer(*RUN, *STEP, "pipeline=device", "hydra.run.dir=device").returncode == 0
    assert answer(*RUN, *STEP, "max_steps=6", "hydra.run.dir=run").returncode == 0
    copy = shutil.copytree(tmp_path / "run", tmp_path / "changed")
    assert answer("resume", "run", "max_steps=null").returncode == 0
    for name in ("final", "ema"):
        expected = load_weights(tmp_path / "whole" / f"{name}.keras")
        assert are_equal(load_weights(tmp_path / "run" / f"{name}.keras"), expected)
        assert are_equal(load_weights(tmp_path / "device" / f"{name}.keras"), expected)
    objectives = [read_objectives(tmp_path / name) for name in ("whole", "run")]
    assert objectives[0][-1] == objectives[1][-1]
    text = table.read_text()
    for change in (text.replace("train,5", "train,4"), text.replace("40.jpg,red", "40.jpg,blue")):
        table.write_text(change)
        refused = answer("resume", copy.name, "max_steps=null")
        assert refused.returncode == 2
        assert "have other labels or weights" in refused.stderr


@pytest.mark.slow
def test_weights_that_are_alike_change_nothing_and_others_do(table, train, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = (*RUN, "epochs=1")
    plain, _ = train(*words, "dataset.weight_column=null", name="plain")
    weighed, _ = train(*words, name="weighed")
    text = table.read_text()
    table.write_text("".join(f"{line.rpartition(',')[0]},3\n" if line[:1] == "p" and "/" in line
                             else f"{line}\n" for line in text.splitlines()))  # fmt: skip
    alike, _ = train(*words, name="alike")
    expected = load_weights(plain.folder / "final.keras")
    assert are_equal(load_weights(alike.folder / "final.keras"), expected)
    assert not are_equal(load_weights(weighed.folder / "final.keras"), expected)


def test_a_mistake_in_a_row_is_answered_before_tensorflow_loads(table, tmp_path):
    table.write_text(table.read_text().replace("photos/50.jpg", "photos/x.jpg"))
    code = (
        "import sys\nfrom cnntrain.cli.main import main\ntry:\n    main(sys.argv[1:])\n"
        "finally:\n    print('loaded', {'tensorflow', 'keras'} & {*sys.modules})"
    )
    for verb in ([], ["plan"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *verb, *RUN], cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert "loaded set()" in done.stdout
        assert "photos/x.jpg (row 52)" in done.stderr
        assert done.returncode == 2
    assert not (tmp_path / "outputs").exists()


def test_a_plan_knows_the_table(table, answer):
    done = answer("plan", *RUN, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sizes"] == {"train": 64, "valid": 16, "test": 16}


def test_a_run_on_several_labels_of_a_table_is_evaluated_and_used(table, answer, tmp_path):
    rows = [["file", "label", "weight"]]
    for number in range(96):
        labels = {"red": number % 2 == 0, "many": number % 3 == 0}
        cell = "|".join(name for name, own in labels.items() if own) or "none"
        rows.append([f"photos/{number}.jpg", cell, 1 + number % 5])
    write_table(table, rows)
    refused = answer(*RUN, "monitor=valid.accuracy", "hydra.run.dir=run")
    assert refused.returncode == 2
    assert "monitor is valid.accuracy and images may have several labels" in refused.stderr

    done = answer(*RUN, "epochs=2", "augmentation=mixup", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "2 classes, several an image," in done.stdout
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["monitor"]["name"] == "valid.mean_average_precision"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "images weigh from 1 to 5 in the training loss" in page

    done = answer("evaluate", "run", "--json")
    assert done.returncode == 0, done.stderr
    expected = report["test"]["best"]["mean_average_precision"]
    assert json.loads(done.stdout)["mean_average_precision"] == pytest.approx(expected)
    refused = answer("evaluate", "run", "--calibrate")
    assert refused.returncode == 2
    assert "may have several labels, and --calibrate needs one an image" in refused.stderr
    refused = answer("data", "verify", "table", f"dataset.table={table}", "--run", "run")
    assert refused.returncode == 2
    assert "may have several labels, and --run needs one an image" in refused.stderr

    done = answer("predict", "run", "set/photos/40.jpg", "--jsonl")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["probabilities"].keys() == {"many", "red"}
    done = answer("export", "run", "--format", "keras")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_weighed_run_on_jax_goes_on_where_it_stopped(table, command, tmp_path):
    pytest.importorskip("jax")
    words = (*RUN, *STEP, "epochs=2", "pipeline=device")
    assert command(*words, "hydra.run.dir=whole", env=JAX).returncode == 0
    assert command(*words, "max_steps=5", "hydra.run.dir=run", env=JAX).returncode == 0
    assert command("resume", "run", "max_steps=null", env=JAX).returncode == 0
    assert are_equal(
        load_weights(tmp_path / "run" / "final.keras"),
        load_weights(tmp_path / "whole" / "final.keras"),
    )
    alike = command(*words, "dataset.weight_column=null", "hydra.run.dir=alike", env=JAX)
    assert alike.returncode == 0
    assert not are_equal(
        load_weights(tmp_path / "alike" / "final.keras"),
        load_weights(tmp_path / "whole" / "final.keras"),
    )
