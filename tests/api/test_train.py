"""Trainings from a Python program: the runs of the command line, whatever happens to either."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import cnntrain
from cnntrain.api import process
from helpers.processes import wait_until

SHORT = ("model=mlp_256_128", "epochs=2", "dataset.limit=100", "batch_size=20")
ENDLESS = ("model=mlp_256_128", "epochs=100000", "checkpoint.every_steps=50")


def read_weights(run, weights="best"):
    return [variable.numpy() for variable in cnntrain.load(run.folder, weights).network.weights]


def are_equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that was trained from a thread, in a process of its own, and what was printed."""
    folder, runs = tmp_path_factory.mktemp("trained") / "own run", []
    thread = threading.Thread(
        target=lambda: runs.append(
            cnntrain.train(*SHORT, optimizer={"learning_rate": 0.01}, folder=folder)
        )
    )
    thread.start()
    thread.join()
    return runs[0]


def test_run_from_a_thread_is_the_run_of_the_command(trained, answer, tmp_path):
    done = answer(*SHORT, "optimizer.learning_rate=0.01", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    run = cnntrain.load(tmp_path / "run")
    assert trained.status == run.status == "finished"
    assert trained.spec.hash == run.spec.hash
    assert are_equal(read_weights(trained), read_weights(run))
    assert trained.folder.name == "own run"


def test_training_in_this_process_gives_the_same_weights(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = {"optimizer": {"learning_rate": 0.01}, "in_process": True}
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    run = cnntrain.train(*SHORT, **settings)
    assert "epoch 2/2" in capsys.readouterr().out
    assert are_equal(read_weights(run), read_weights(trained))
    assert np.array_equal(np.random.get_state()[1], before)
    assert run.folder.parent == tmp_path / "outputs"
    again = cnntrain.train(SHORT[0], epochs=1, verbose=False, **{"dataset.limit": 100}, **settings)
    assert capsys.readouterr().out == ""
    again.resume(epochs=2, in_process=True, verbose=False)
    assert list(again.history["epoch"]) == [1, 2]


@pytest.mark.parametrize("in_process", [False, True])
def test_mistake_is_a_spec_error(tmp_path, monkeypatch, in_process):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cnntrain.SpecError) as answer:
        cnntrain.train(epoch=3, in_process=in_process)
    error = answer.value
    assert (error.given, error.hint) == ("epoch is not a setting", "epochs=3")
    assert error.expected.startswith("one of model, dataset,")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_mistake_that_only_the_data_shows_gives_the_directory_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cnntrain.SpecError):
        cnntrain.train("model=vgg16", **{"dataset.image_size": [16, 16]}, verbose=False)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_run_that_diverges_is_a_failure(tmp_path):
    with pytest.raises(cnntrain.Failure, match=r"not finite at step \d+.*\n.*learning_rate"):
        cnntrain.train(
            *SHORT, optimizer="sgd", folder=tmp_path / "run", verbose=False,
            **{"optimizer.learning_rate": 1e30},
        )  # fmt: skip
    assert cnntrain.load(tmp_path / "run").status == "failed"


PROGRAM = f"""
import signal

import cnntrain

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
try:
    cnntrain.train(*{ENDLESS}, folder="run")
except cnntrain.Interrupted as error:
    print("Interrupted:", error, flush=True)
    run = cnntrain.load(error.folder)
    print(run.status, flush=True)
    run.resume(max_steps=int(run.history["step"].iloc[-1]) + 300, verbose=False)
    print(run.status, flush=True)
"""


@pytest.fixture
def program(tmp_path):
    """A program without a guard of `__main__` that trains for ever."""
    (tmp_path / "program.py").write_text(PROGRAM)
    begun = subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        process_group=0,
    )  # fmt: skip
    history = tmp_path / "run" / "history.csv"
    wait_until(lambda: history.exists() and history.stat().st_size > 200, begun)
    yield begun
    begun.kill()
    begun.wait()
    begun.stdout.close()


def test_interrupt_stops_cleanly_and_resume_goes_on(program, tmp_path):
    program.send_signal(signal.SIGINT)
    printed, _ = program.communicate(timeout=300)
    said = printed.splitlines()
    place = next(n for n, line in enumerate(said) if line.startswith("Interrupted: "))
    assert said[place] == "Interrupted: run was stopped, with a checkpoint"
    assert said[place + 1].strip() == (
        f'try       run = cnntrain.load("{tmp_path / "run"}"); run.resume()'
    )
    assert said[place + 2 :] == ["interrupted", "finished"]


def test_run_ends_with_a_checkpoint_when_its_program_is_killed(program, tmp_path):
    """As when a notebook's kernel is restarted."""
    program.kill()
    record = tmp_path / "run" / "run.json"
    wait_until(lambda: json.loads(record.read_text())["status"] == "interrupted", None)
    assert list((tmp_path / "run" / "state").glob("*.state"))


@pytest.mark.slow
def test_process_that_is_killed_is_a_failure(tmp_path, monkeypatch):
    start = process.start_worker

    def start_and_kill(words):
        worker = start(words)
        take = worker.take_line

        def kill_at_first_epoch(line, view):
            take(line, view)
            if "show_epoch" in line:
                os.kill(worker.process.pid, signal.SIGKILL)

        worker.take_line = kill_at_first_epoch
        return worker

    monkeypatch.setattr(process, "start_worker", start_and_kill)
    with pytest.raises(cnntrain.Failure, match=r"ended by SIGKILL\n  try       run = cnntrain"):
        cnntrain.train(*ENDLESS, folder=tmp_path / "run", verbose=False)
    assert cnntrain.load(tmp_path / "run").status == "killed"


@pytest.mark.slow
def test_sweep_is_compared_the_best_first(tmp_path):
    swept = cnntrain.sweep(
        *SHORT, axes={"seed": [0], "initializer": ["zeros", "he_normal"]},
        folder=tmp_path / "sweep", verbose=False,
    )  # fmt: skip
    assert swept.folder == tmp_path / "sweep"
    assert list(swept.table["initializer"]) == ["he_normal", "zeros"]
    assert swept.best.result.settings["initializer"] == "he_normal"
    assert (swept.folder / "sweep.html").is_file()


def test_interrupted_sweep_says_how_to_go_on(tmp_path):
    (tmp_path / "sweep.yaml").touch()
    error = process.explain_interrupt(tmp_path)
    assert error.hint == f"cnntrain resume {tmp_path}, on the command line"


def test_sweep_is_refused_before_its_first_job(tmp_path):
    with pytest.raises(cnntrain.SpecError, match="epochs is 0"):
        cnntrain.sweep(*SHORT[:1], axes={"epochs": [1, 0]}, folder=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()
