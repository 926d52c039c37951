"""The real command line, from an empty directory, as a user has it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from helpers.run_files import SHORT, are_equal, load_weights

ROOT = Path(__file__).parents[2]


def only_run(folder):
    (run,) = (folder / "outputs").iterdir()
    return run


def attentive():
    """A child of a background shell ignores Ctrl-C; a user's does not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """A run of two epochs: what it said, and its directory."""
    folder = tmp_path_factory.mktemp("short")
    line = [sys.executable, "-m", "cnntrain", *SHORT, "threads=1"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done, only_run(folder)


def test_a_run_leaves_everything_it_promises(short_run):
    _, run = short_run
    assert run.name.endswith("_lenet5_digits")
    assert {path.name for path in run.iterdir()} == {
        "spec.yaml", "run.json", "history.csv", "steps.csv", "best.keras", "final.keras",
        "report.json", "train.log", "state", "report.html", "figures", "predictions.csv",
        "predictions.npz",
        "pictures.npz", "network.json", "tensorboard",
    }  # fmt: skip
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["device"]["threads"] == 1
    assert record["data"]["sizes"] == {"train": 128, "valid": 128, "test": 128}
    spec = yaml.safe_load((run / "spec.yaml").read_text())
    assert (spec["epochs"], spec["dataset"]["limit"]) == (2, 128)
    assert "# cnntrain epochs=2" in (run / "spec.yaml").read_text()


def test_output_without_a_terminal_is_plain_and_short(short_run):
    done, _ = short_run
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) < 15
    assert "epoch 2/2" in done.stdout
    assert "test accuracy" in done.stdout


@pytest.mark.slow
def test_two_runs_of_one_moment_have_two_directories(command, tmp_path):
    line = [sys.executable, "-m", "cnntrain", *SHORT, "epochs=1"]
    runs = [subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert len(list((tmp_path / "outputs").iterdir())) == 2


@pytest.mark.slow  # the recipe lenet5_digits; shorter runs of it are in many tests
def test_make_train_reaches_what_it_promises(answer, tmp_path):
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "epochs=" in line]
    done = answer(*line.split()[1:])
    assert done.returncode == 0, done.stderr
    report = json.loads((only_run(tmp_path) / "report.json").read_text())
    assert report["test"]["best"]["accuracy"] >= 0.97
    assert report["seconds"]["train"] < 60


def wait_for(path, process):
    while not path():
        assert process.poll() is None, "ended too early"
        time.sleep(0.05)


def test_ctrl_c_stops_cleanly_and_keeps_what_is_done(tmp_path):
    line = [sys.executable, "-m", "cnntrain", "epochs=10000", "hydra.run.dir=run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(line, cwd=tmp_path, preexec_fn=attentive, **pipes)
    run = tmp_path / "run"
    wait_for((run / "best.keras").is_file, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert (run / "history.csv").read_text().count("\n") >= 2
    assert load_weights(run / "best.keras")


@pytest.mark.slow
def test_run_goes_on_where_nobody_reads_its_output_any_more(tmp_path):
    line = [sys.executable, "-m", "cnntrain", *SHORT, "epochs=3", "hydra.run.dir=run"]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"lenet5")
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_failure_is_recorded_with_its_traceback(answer, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("cnntrain.training.loop.evaluate_network", fail)
    done = answer("epochs=1", "hydra.run.dir=run")
    assert done.returncode == 1
    assert "the disk is on fire" in done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: the disk is on fire")
    assert "Traceback" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.slow
def test_sweep_runs_every_job_and_each_equals_the_run_alone(command, answer, tmp_path):
    words = ["model=mlp_256_128", *SHORT]
    done = command("-m", "initializer=zeros,he_normal", *words, "sweep.jobs=2")
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs").iterdir()
    jobs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert [job.name for job in jobs] == ["0_initializer=zeros", "1_initializer=he_normal"]
    assert all(name in done.stdout for name in ("zeros", "he_normal", "valid accuracy"))
    assert answer(*words, "initializer=he_normal", "hydra.run.dir=alone").returncode == 0
    job, alone = (load_weights(run / "final.keras") for run in (jobs[1], tmp_path / "alone"))
    assert are_equal(job, alone)


def test_sweep_with_a_mistake_in_one_job_starts_none(answer, tmp_path):
    done = answer("-m", "batch_size=32,0")
    assert done.returncode == 2
    assert "batch_size is 0" in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_sweep_into_a_directory_that_is_not_empty_is_refused(answer, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    done = answer("-m", "seed=1,2", "hydra.sweep.dir=mine")
    assert done.returncode == 2
    assert "mine is not empty" in done.stderr
    assert "resume" not in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_directory_of_a_sweep_is_refused_with_the_command_that_goes_on_with_it(answer, tmp_path):
    (tmp_path / "my sweep").mkdir()
    (tmp_path / "my sweep" / "sweep.yaml").touch()
    done = answer("-m", "seed=1,2", "hydra.sweep.dir='my sweep'")
    assert done.returncode == 2
    assert "cnntrain resume 'my sweep'" in done.stderr


@pytest.mark.slow
def test_refused_job_does_not_stop_the_others(command, tmp_path):
    done = command("-m", "steps_per_epoch=5000,1", *SHORT[:2])
    assert done.returncode == 1
    (sweep,) = (tmp_path / "outputs").iterdir()
    assert (sweep / "1_steps_per_epoch=1" / "report.json").is_file()
    assert "refused" in done.stdout


@pytest.mark.slow
def test_config_dir_of_a_user_trains(command, tmp_path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "tiny.yaml").write_text(
        "# Tiny.\nname: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
    )
    done = command("--config-dir", "mine", "model=tiny", *SHORT)
    assert done.returncode == 0, done.stderr
    assert "tiny" in command("list", "model", "--config-dir", "mine").stdout


def test_folder_of_options_may_be_called_like_a_answer(answer, tmp_path):
    (tmp_path / "data" / "model").mkdir(parents=True)
    (tmp_path / "data" / "model" / "tiny.yaml").write_text(
        "# Tiny.\nname: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
    )
    shown = answer("--config-dir", "data", "--cfg", "job", "model=tiny")
    assert yaml.safe_load(shown.stdout)["model"]["filters"] == [2, 3]
    assert "tiny" in answer("--config-dir", "data", "list", "model").stdout
    assert "digits" in answer("--config-dir", "data", "data", "list").stdout


def test_help_shows_groups_options_and_examples(answer):
    text = answer("--help").stdout
    for word in ("model", "vgg16", "schedule", "resnet_step", "examples:", "cnntrain -m", "epochs"):
        assert word in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_list_names_the_options_of_a_group(answer):
    text = answer("list", "model").stdout
    assert "lenet5 (default)" in text
    assert "vgg16" in text
    listed = json.loads(answer("list", "optimizer", "--json").stdout)
    assert set(listed) == {"optimizer"}
    assert "adamw" in listed["optimizer"]


def test_cfg_job_prints_the_spec_and_trains_nothing(answer, tmp_path):
    done = answer("--cfg", "job", "model=vgg16")
    assert yaml.safe_load(done.stdout)["model"]["variant"] == "D"
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_mnist_from_the_archives_reaches_its_accuracy(command, tmp_path, archives):
    words = ("model=lenet5", "dataset=mnist", "epochs=5", f"manual_dir={archives}", "data_dir=data")
    done = command(*words)
    assert done.returncode == 0, done.stderr
    report = json.loads((only_run(tmp_path) / "report.json").read_text())
    assert report["test"]["final"]["accuracy"] >= 0.985


@pytest.mark.slow
def test_cnn_cifar_reaches_its_accuracy(command, tmp_path, cifar10_dir):
    words = ("model=cnn_cifar", "dataset=cifar10", "epochs=5", "batch_size=32", "schedule=constant")
    done = command(*words, f"data_dir={cifar10_dir}")
    assert done.returncode == 0, done.stderr
    report = json.loads((only_run(tmp_path) / "report.json").read_text())
    assert report["valid"]["final"]["accuracy"] >= 0.68


@pytest.mark.slow
def test_vgg16_learns_from_the_first_steps(command, tmp_path, cifar10_dir):
    done = command("model=vgg16", "dataset=cifar10", "max_steps=150", f"data_dir={cifar10_dir}")
    assert done.returncode == 0, done.stderr
    lines = (only_run(tmp_path) / "steps.csv").read_text().splitlines()[1:]
    losses = [float(line.split(",")[1]) for line in lines]
    assert sum(losses[-2:]) / 2 < 2.1
    assert sum(losses[-5:]) < sum(losses[-10:-5]) < sum(losses[:5])


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_interrupted_sweep_stops_its_job_cleanly_and_starts_no_other(tmp_path, number, code):
    words = ["-m", "seed=1,2", "epochs=10000", "hydra.sweep.dir=sweep"]
    line = [sys.executable, "-m", "cnntrain", *words]
    process = subprocess.Popen(
        line,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=attentive,
    )
    wait_for((tmp_path / "sweep" / "0_seed=1" / "best.keras").is_file, process)
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    jobs = [path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()]
    assert jobs == ["0_seed=1"]
    record = json.loads((tmp_path / "sweep" / "0_seed=1" / "run.json").read_text())
    assert record["status"] == "interrupted"


def test_diverging_run_fails_and_says_where(answer, tmp_path):
    done = answer("optimizer=sgd", "optimizer.learning_rate=1e20", *SHORT, "hydra.run.dir=run")
    assert done.returncode == 1
    assert "not finite at step" in done.stderr
    assert "try       a smaller optimizer.learning_rate" in done.stderr
    assert "Traceback" not in done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "failed"


@pytest.mark.slow
def test_initializers_rank_as_the_theory_says(command, tmp_path, archives):
    words = ("model=mlp_256_128", "dataset=mnist", "optimizer=sgd", "optimizer.learning_rate=0.01",
             "batch_size=32", "epochs=3", f"manual_dir={archives}", "data_dir=data")  # fmt: skip
    names = ("zeros", "random_normal", "glorot_uniform", "he_normal")
    done = command("-m", f"initializer={','.join(names)}", *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    found = {}
    for number, name in enumerate(names):
        report = tmp_path / "sweep" / f"{number}_initializer={name}" / "report.json"
        found[name] = json.loads(report.read_text())["valid"]["final"]["accuracy"]
    assert found["zeros"] < 0.12
    assert min(found["he_normal"], found["glorot_uniform"]) > found["random_normal"] > 0.9
