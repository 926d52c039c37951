"""Runs on photos through the command line: odd folders, caches, kills, changed files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from helpers import odd

MODEL = ("model=cnn_cifar", "model.filters=[4,8]", "model.hidden=16", "batch_size=16")
RUN = ("dataset=image_folder", "dataset.folder=photos", "dataset.image_size=[32,32]", *MODEL)


@pytest.fixture
def photos(tmp_path):
    """100 photos of each of two classes: red ones and blue ones."""
    for name, hue in (("red", [2, 1, 1]), ("blue", [1, 1, 2])):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(100):
            random = np.random.default_rng([number, hue[0]])
            noise = random.integers(0, 120, (30 + number % 9, 40 + number % 7, 3))
            image = odd.Image.fromarray((noise * hue).astype(np.uint8))
            file = tmp_path / "photos" / name / f"{number:03}.jpg"
            file.write_bytes(odd.encoded(image, quality=90))
    return tmp_path / "photos"


def weights(run):
    import keras

    return [w.numpy() for w in keras.models.load_model(run / "final.keras").weights]


def test_a_folder_with_odd_and_broken_files_trains_and_names_all_that_are_left_out(
    photos, command, tmp_path
):
    for name, content in odd.whole().items():
        (photos / "red" / name).write_bytes(content)
    for name, (content, _) in odd.broken().items():
        (photos / "blue" / name).write_bytes(content)
    left_out = [*odd.broken(), *odd.special(photos / "blue")]
    odd.litter(photos / "blue")
    done = command(*RUN, "epochs=1", "hydra.run.dir=run", "dataset.cache=none")
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("  blue/")]
    assert [line.partition(":")[0] for line in said] == sorted(f"  blue/{n}" for n in left_out)
    assert f"Left out {len(left_out)} files that are no images:" in done.stdout
    assert done.stderr.replace("Corrupt JPEG data: premature end of data segment\n", "") == ""
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert sum(data["sizes"].values()) == 200 + len(odd.whole())
    assert sorted(data["skipped"]) == sorted(f"blue/{name}" for name in left_out)


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_a_run_is_the_same_whatever_the_cache(photos, train, resize, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = (*RUN, "epochs=2", "augmentation=flip_crop", f"dataset.resize={resize}")
    words = (*words, f"data_dir={tmp_path}")
    runs = {how: train(*words, f"dataset.cache={how}", name=how)
            for how in ("memory", "disk", "none")}  # fmt: skip
    expected, report = runs.pop("memory")
    for run, other in runs.values():
        assert (run.folder / "history.csv").exists()
        assert other["test"] == report["test"]
        assert (
            run.read_run_json()["data"]["fingerprint"]
            == expected.read_run_json()["data"]["fingerprint"]
        )
        pairs = zip(weights(run.folder), weights(expected.folder), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("dataset.cache=disk",), ("dataset.resize=random_crop",)])
def test_a_killed_run_on_photos_goes_on_and_ends_as_if_it_never_was(photos, tmp_path, words):
    line = [sys.executable, "-m", "cnntrain", *RUN, *words, "epochs=12", "data_dir=data"]
    subprocess.run([*line, "hydra.run.dir=whole"], cwd=tmp_path, check=True, capture_output=True)
    process = subprocess.Popen([*line, "hydra.run.dir=run"], cwd=tmp_path, stdout=subprocess.PIPE)
    rows = tmp_path / "run" / "history.csv"
    while not rows.exists() or rows.read_text().count("\n") < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = shutil.copytree(tmp_path / "run", tmp_path / "killed")

    resume = [sys.executable, "-m", "cnntrain", "resume"]
    subprocess.run([*resume, "run"], cwd=tmp_path, check=True, capture_output=True)
    pairs = zip(weights(tmp_path / "run"), weights(tmp_path / "whole"), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    done = [json.loads((tmp_path / run / "run.json").read_text()) for run in ("run", "whole")]
    assert done[0]["status"] == "finished"
    assert done[0]["data"] == done[1]["data"]

    (photos / "red" / "notes.txt").write_text("no photo")  # changes no image
    name = "red/001.jpg"
    (photos / name).write_bytes((photos / "red" / "002.jpg").read_bytes())
    refused = subprocess.run(
        [*resume, killed], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "the images are not those that the run began with" in refused.stderr
    (photos / name).unlink()
    gone = subprocess.run(
        [*resume, killed], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert gone.returncode == 2


def test_an_interrupt_while_the_decoders_start_is_answered_once(photos, tmp_path):
    line = [sys.executable, "-m", "cnntrain", *RUN, "dataset.scan=none", "data_dir=data"]
    options = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen([*line, "decoders=2"], stdout=subprocess.DEVNULL, **options)
    while len(psutil.Process(process.pid).children()) < 3:  # they and what cleans up after them
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.startswith("Interrupted; cnntrain resume")
    assert "Traceback" not in said


LISTED = ("dataset.scan=none", "data_dir=data", "epochs=6", "checkpoint.every_steps=3")


def start_and_kill(words, folder, rows, run="run"):
    """Begin a run in folder/run, kill it after `rows` epochs, and return its processes' numbers."""
    line = [sys.executable, "-m", "cnntrain", *words, f"hydra.run.dir={run}"]
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL)
    table, family = folder / run / "history.csv", []
    while not table.exists() or table.read_text().count("\n") < 1 + rows:
        assert process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.01)
    process.kill()
    process.wait()
    return family


def has_ended(process):
    """Whether a process has; some systems are slow to forget one that has lost its parent."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_a_killed_run_on_listed_photos_ends_the_same_whoever_decodes_and_from_records(
    photos, tmp_path
):
    for number in (3, 4, 50):
        (photos / "red" / f"{number:03}.jpg").write_bytes(b"nothing")
    words = (*RUN, *LISTED, "decoders=2", "augmentation=flip_crop")
    line = [sys.executable, "-m", "cnntrain"]
    options = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    whole = subprocess.run([*line, *words, "hydra.run.dir=whole"], **options)
    assert "Replaced 3 files that are no images by the next of the class:" in whole.stdout

    decoders = start_and_kill(words, tmp_path, 2)
    assert decoders
    ends = time.monotonic() + 30
    while not all(map(has_ended, decoders)) and time.monotonic() < ends:
        time.sleep(0.05)
    assert all(map(has_ended, decoders))
    for file in photos.glob("*/*.jpg"):
        file.touch()
    shutil.rmtree(tmp_path / "data" / "cnntrain_cache")
    subprocess.run([*line, "resume", "run", "decoders=0"], **options)
    pairs = zip(weights(tmp_path / "run"), weights(tmp_path / "whole"), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    data = [json.loads((tmp_path / run / "run.json").read_text())["data"]
            for run in ("run", "whole")]  # fmt: skip
    assert data[0]["fingerprint"].startswith("listing:")
    assert data[0] == data[1]
    assert len(data[0]["replaced"]) == 3

    for number in (3, 4, 50):  # records have whole photos only: so have the files now
        (photos / "red" / f"{number:03}.jpg").unlink()
    prepare = ["data", "prepare", "image_folder", "dataset.folder=photos", "--to", "array_record"]
    subprocess.run([*line, *prepare, "--output", "shards"], **options)
    others = [word for word in words if not word.startswith(("dataset=", "dataset.folder="))]
    shards = ["dataset=records", "dataset.folder=shards"]
    subprocess.run([*line, *words, "hydra.run.dir=files"], **options)
    subprocess.run([*line, *shards, *others, "hydra.run.dir=records"], **options)
    start_and_kill([*shards, *others], tmp_path, 2, run="killed")
    subprocess.run([*line, "resume", "killed", "decoders=1"], **options)
    for run in ("records", "killed"):
        pairs = zip(weights(tmp_path / "files"), weights(tmp_path / run), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), run


def test_a_listed_photo_that_is_no_file_is_replaced_and_named(photos, command, tmp_path):
    (photos / "red" / "000.jpg").unlink()
    (photos / "red" / "000.jpg").symlink_to("nowhere.jpg")
    done = command(*RUN, *LISTED, "epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "The 200 photos are decoded each time they are needed" in done.stdout
    assert "broken photos, replaced by others" in (tmp_path / "run" / "report.html").read_text()
    assert "Replaced 1 file that is no image by the next of the class:" in done.stdout
