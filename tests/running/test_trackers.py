"""Trackers show each row of the tables once, and cannot harm a run."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
import types

import pytest
import yaml

from cnntrain.errors import SpecError
from cnntrain.running.run import check_tracker
from cnntrain.running.trackers import wandb
from cnntrain.running.tracking import TrackedProgress, read_metrics_by_step
from cnntrain.runs.directory import Run
from cnntrain.spec.build import build_spec as check
from cnntrain.spec.compose import compose_config

SMALL = ["epochs=3", "model=mlp_256_128", "dataset.limit=200", "log_every=2", "batch_size=16"]


class Silent:
    """A `Progress` that collects the notes."""

    def __init__(self, lines):
        self.lines = lines

    def note(self, line):
        self.lines.append(line)

    def begin_phase(self, done, total_steps, steps_per_epoch): ...
    def step(self, epoch, step, images_per_second, logs): ...
    def epoch(self, row): ...


class Recorder:
    """A tracker that collects what it gets."""

    def __init__(self, last=0, fails=False):
        self.last, self.fails, self.told, self.ends = last, fails, [], []

    def log(self, step, values):
        if self.fails:
            raise ConnectionError("no server at http://nowhere\nand much more")
        self.told.append((step, dict(values)))

    def finish(self, status, results, files):
        self.ends.append((status, dict(results), [file.name for file in files]))


@pytest.fixture
def tracked(tmp_path, spec):
    """Return a function that trains with a tracker: tracked(recorder) -> (run, report, lines)."""
    from cnntrain.training.trainer import train_run as train_spec

    def run_one(recorder):
        run = Run.claim(tmp_path / "run", compose_config(SMALL).config, SMALL)
        said = []
        listener = TrackedProgress(Silent(said), run, spec(*SMALL))
        listener.open_tracker = lambda: setattr(listener, "tracker", recorder)
        report = train_spec(spec(*SMALL), run, listener)
        listener.end_tracking("finished", report)
        return run, report, said

    return run_one


def series(path):
    """Return the scalars of TensorBoard's event files: tag -> [(step, value)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    import tensorflow as tf

    return {
        tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if "/" in tag and not tag.startswith("_hparams_")
    }


def history(run):
    with (run / "history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# What a tracker is told.


def test_a_tracker_is_told_both_tables_once_and_the_results(tracked):
    recorder = Recorder()
    run, report, _ = tracked(recorder)
    assert recorder.told == read_metrics_by_step(run)
    steps = [step for step, _ in recorder.told]
    assert steps == sorted(set(steps))
    epochs = [values for _, values in recorder.told if "valid/accuracy" in values]
    assert len(epochs) == 3
    ((status, results, files),) = recorder.ends
    assert status == "finished"
    assert results["results/test/final/accuracy"] == report["test"]["final"]["accuracy"]
    assert files == ["spec.yaml", "report.json"]


@pytest.fixture
def listener(tmp_path, spec):
    """Return the `TrackedProgress` of a run whose tables have two epochs, and its notes."""
    run = Run(tmp_path)
    for step in (10, 20):
        run.append_row("history.csv", {"epoch": step // 10, "step": step, "train.loss": 1 / step})
    said = []
    return TrackedProgress(Silent(said), run, spec()), said


def test_rows_that_a_tracker_has_are_not_sent_again(listener):
    tracked, _ = listener
    tracked.tracker = recorder = Recorder(last=10)
    tracked.epoch({})
    tracked.epoch({})
    assert recorder.told == [(20, {"epoch": 2, "train/loss": 1 / 20})]


def test_a_tracker_that_fails_is_reported_once_and_dropped(listener):
    tracked, said = listener
    tracked.tracker = Recorder(fails=True)
    for _ in range(2):
        tracked.epoch({})
    tracked.end_tracking("finished")
    assert said == [
        "Warning: tracking=auto failed and is switched off: no server at http://nowhere"
    ]


def test_tracking_decides_no_numbers(spec):
    assert spec("tracking=tensorboard").hash == spec("tracking=none").hash


def test_a_spec_from_before_there_were_trackers_is_read():
    config = compose_config([]).config
    del config["tracking"]
    assert check(config).tracking.name == "none"


def test_a_tracker_that_is_not_installed_is_answered_first(spec, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpecError, match="not installed") as refused:
        check_tracker(spec("tracking=mlflow"))
    assert refused.value.hint == "pip install 'cnntrain[mlflow]'"


# The trackers themselves.


def test_tensorboard_reads_back_what_the_tables_hold(tmp_path):
    pytest.importorskip("tensorboard")
    import numpy as np
    from PIL import Image

    from cnntrain.running.trackers import tensorboard

    picture = tmp_path / "confusion.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture)
    for _ in range(2):  # a second life writes all anew
        tracker = tensorboard(tmp_path, {"epochs": 3, "classes": None, "rate": 0.1})
        for step in (2, 4):
            tracker.log(step, {"train/loss": 1 / step, "steps/train.loss": math.nan})
        tracker.finish("finished", {"results/test/final/accuracy": 0.5}, [picture])
    found = series(tmp_path / "tensorboard")
    assert found["train/loss"] == [(2, 0.5), (4, 0.25)]
    assert found["results/test/final/accuracy"] == [(0, 0.5)]
    (events,) = (tmp_path / "tensorboard").glob("*")
    assert events.stat().st_size < 10_000
    assert b"confusion" in events.read_bytes()


@pytest.mark.slow
def test_a_killed_run_is_once_in_tensorboard(command, tmp_path):
    """After SIGKILL and resume each step is there once, with the numbers of the tables."""
    pytest.importorskip("tensorboard")
    words = [*SMALL, "epochs=150", "tracking=tensorboard", "hydra.run.dir=run"]
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-m", "cnntrain", *words], cwd=tmp_path)
    while not (folder / "history.csv").exists() or len(history(folder)) < 20:
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    ended = command("resume", "run")
    assert ended.returncode == 0, ended.stderr
    losses = [(int(row["step"]), float(row["train.loss"])) for row in history(folder)]
    found = series(folder / "tensorboard")["train/loss"]
    assert [step for step, _ in found] == [step for step, _ in losses]
    assert [value for _, value in found] == pytest.approx([value for _, value in losses])
    (events,) = (folder / "tensorboard").glob("*")
    assert b"confusion" in events.read_bytes()  # the figures of the page


@pytest.mark.slow
def test_mlflow_has_the_run_in_a_real_store(command, tmp_path):
    """An interrupted and resumed run is one run, with each epoch once, results and files."""
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = [*SMALL, "epochs=40", "tracking=mlflow", f"tracking.uri={uri}", "hydra.run.dir=run"]
    first = command(*words, "max_steps=30")
    assert first.returncode == 0, first.stderr
    assert "switched off" not in first.stdout
    assert command("resume", "run", "max_steps=60").returncode == 0
    client = mlflow.MlflowClient(uri)
    (home,) = [e for e in client.search_experiments() if e.name == "cnntrain"]
    (run,) = client.search_runs([home.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "40"
    told = client.get_metric_history(run.info.run_id, "train/loss")
    table = history(tmp_path / "run")
    assert [metric.step for metric in told] == [int(row["step"]) for row in table]
    assert [metric.value for metric in told] == [float(row["train.loss"]) for row in table]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    last = run.data.metrics["results/test/final/accuracy"]
    assert last == report["test"]["final"]["accuracy"]
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept >= {"spec.yaml", "report.json", "curves.png", "confusion.png"}


@pytest.mark.slow
def test_a_server_that_is_gone_costs_seconds_and_not_the_run(command, tmp_path):
    pytest.importorskip("mlflow")
    words = ["tracking=mlflow", "tracking.uri=http://127.0.0.1:9", "hydra.run.dir=run"]
    ended = command(*SMALL, *words)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("switched off") == 1
    record = yaml.safe_load((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished"


def test_jobs_of_two_sweeps_are_two_runs_of_wandb_and_a_resumed_one_is_one(tmp_path, monkeypatch):
    """Their directories have the same name, and a project knows its runs by their ids."""
    begun = []
    fake = types.SimpleNamespace(
        init=lambda **said: begun.append(said["id"]), Settings=dict, setup=lambda settings: None
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for sweep in ("one", "two", "two"):
        folder = tmp_path / sweep / "0_seed=1"
        (folder / "state").mkdir(parents=True, exist_ok=True)
        wandb(folder, {}, project="p", mode="offline")
    assert begun[0] != begun[1] == begun[2]


@pytest.mark.slow
def test_wandb_writes_a_run_offline(command, tmp_path):
    pytest.importorskip("wandb")
    ended = command(*SMALL, "tracking=wandb", "hydra.run.dir=run")
    assert ended.returncode == 0, ended.stderr
    assert "switched off" not in ended.stdout
    assert "wandb:" not in ended.stdout + ended.stderr
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert (tmp_path / "run" / "report.html").is_file()  # no link that wandb makes leads out of it
    assert command("resume", "run").returncode == 0
