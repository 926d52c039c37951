"""A run that was killed, at any moment and however often, ends as if it never was."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cnntrain.running.resume import read_resumed_run, reopen_run
from cnntrain.runs import checkpoint

# A convnet with dropout, batch norm, images that are moved and mixed, an average of the weights, a
# plateau that fires and early stopping on.
CONVNET = (
    "model=cnn_cifar", "model.filters=[8,16]", "model.hidden=32", "model.batch_norm=true",
    "augmentation=compose", "augmentation.ops=[{name: shift_flip}, {name: mixup, alpha: 0.2}]",
    "ema_decay=0.99", "optimizer.l2=1e-4",
    "schedule.plateau.patience=1", "schedule.plateau.min_delta=0.5", "early_stopping.patience=50",
)  # fmt: skip
WORDS = (
    *CONVNET, "dataset.limit=320", "batch_size=16", "epochs=6", "checkpoint.every_steps=3",
    "log_every=4",
)  # fmt: skip
LONG = (*CONVNET, "batch_size=16", "epochs=80", "checkpoint.every_steps=10")
TWO_PHASE = (
    *CONVNET, "finetune=two_phase", "finetune.head_epochs=3", "finetune.learning_rate=3e-4",
    "finetune.batch_norm=true", "dataset.limit=320", "batch_size=16", "epochs=7",
    "checkpoint.every_steps=3", "log_every=3", "refit=true",
)  # fmt: skip
RESNET = (
    "model=resnet20_v1", "dataset=cifar10", "augmentation=flip_crop", "optimizer=sgd",
    "dataset.limit=640", "batch_size=64", "epochs=5", "max_steps=40", "checkpoint.every_steps=3",
    "log_every=2",
)  # fmt: skip
TIMINGS = ("seconds", "images_per_second", "evaluation")


def line(*words):
    return [sys.executable, "-m", "cnntrain", *words]


def start(folder, *words):
    options = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(line(*words), **options)


def uninterrupted(folder, words):
    """The run that nothing interrupted, in folder/run."""
    subprocess.run(line(*words, "hydra.run.dir=run"), cwd=folder, check=True, capture_output=True)
    return folder / "run"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return uninterrupted(tmp_path_factory.mktemp("whole"), WORDS)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    words = ("epochs=2", "dataset.limit=128", "batch_size=32")
    return uninterrupted(tmp_path_factory.mktemp("short"), words)


def result(run):
    """All that a run leaves, timings aside: the last state, the history, the report."""
    last = checkpoint.load_checkpoint(run / "state")
    facts = {k: v for k, v in last.facts.items() if k not in ("tables", "loop")}
    timed = ("seconds", "epoch_seconds", "best_row")
    facts |= {k: v for k, v in last.facts["loop"].items() if k not in timed}
    tables = [timeless((run / name).read_text()) for name in ("history.csv", "steps.csv")]
    report = json.loads((run / "report.json").read_text()) if (run / "report.json").exists() else {}
    report = {k: v for k, v in report.items() if k not in TIMINGS}
    return last.arrays, facts, tables, report


def timeless(table):
    header, *rows = [row.split(",") for row in table.splitlines()]
    kept = [i for i, name in enumerate(header) if name not in TIMINGS]
    return [[row[i] for i in kept] for row in [header, *rows]]


def assert_same(run, whole):
    (arrays, *rest), (expected, *expected_rest) = result(run), result(whole)
    assert rest == expected_rest
    assert arrays.keys() == expected.keys()
    differ = [name for name in arrays if not np.array_equal(arrays[name], expected[name])]
    assert differ == []
    files = sorted(path.name for path in whole.glob("*.keras"))
    assert files == sorted(path.name for path in run.glob("*.keras"))
    for name in files:
        weights = [load(folder / name) for folder in (run, whole)]
        assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True)), name
    if (whole / "refit").exists():
        assert_same(run / "refit", whole / "refit")


def load(path):
    import keras

    return [w.numpy() for w in keras.models.load_model(path).weights]


def rows_of(run, name):
    path = run / name
    return max(0, path.read_text().count("\n") - 1) if path.exists() else 0


def kill_when(process, moment):
    """SIGKILL as soon as `moment()`; return whether the process was still alive then."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if moment():
            process.kill()
            process.wait()
            return True
        time.sleep(0.002)
    return False


def moments(run, rows):
    """Moments of a life that began at what is there now: (name, whether it has come)."""
    steps, epochs = rows_of(run, "steps.csv"), rows_of(run, "history.csv")

    def is_writing():
        return any((run / "state").glob(".unfinished_*"))

    return [
        ("within an epoch", lambda: rows_of(run, "steps.csv") >= steps + rows),
        (
            "while a state is written",
            lambda: rows_of(run, "steps.csv") >= steps + rows and is_writing(),
        ),
        ("at an epoch's end", lambda: rows_of(run, "history.csv") >= epochs + max(1, rows // 8)),
    ]


def crash(folder, words, whole, kills, rows=2):
    """Kill and resume until done; assert that every life advanced and the end is the same.

    A life has `rows` rows of steps.csv before it ends. Returns the names of the moments.
    """
    run = folder / "run"
    process = start(folder, *words, "hydra.run.dir=run")
    done, steps = [], [0]
    for number in range(kills):
        name, moment = moments(run, rows)[number % 3]
        if not kill_when(process, moment):
            break
        done.append(name)
        steps.append(checkpoint.load_checkpoint(run / "state").facts["loop"]["step"])
        process = start(folder, "resume", "run")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr.decode()
    assert steps == sorted(set(steps)), "every life advanced"
    assert_same(run, whole)
    return done


def test_killed_run_ends_bit_identical(tmp_path, whole):
    assert len(crash(tmp_path, WORDS, whole, kills=4)) == 4
    assert whole_plateau_fell(whole)


def whole_plateau_fell(whole):
    """The plateau fired at least twice, else the test would prove less than it says."""
    return len(checkpoint.load_checkpoint(whole / "state").facts["loop"]["fell"]) >= 2


@pytest.mark.slow
def test_run_killed_twenty_times_ends_bit_identical(tmp_path_factory):
    whole = uninterrupted(tmp_path_factory.mktemp("whole"), LONG)
    assert json.loads((whole / "report.json").read_text())["seconds"]["train"] >= 60
    assert whole_plateau_fell(whole)
    done = crash(tmp_path_factory.mktemp("killed"), LONG, whole, kills=20, rows=20)
    assert len(done) == 20
    assert min(done.count(name) for name in set(done)) >= 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "rows"), [(TWO_PHASE, 5), (RESNET, 2)], ids=["two_phase and refit", "resnet20"]
)
def test_other_runs_are_as_exact(tmp_path_factory, cifar10_dir, words, rows):
    words = (*words, f"data_dir={cifar10_dir}")
    whole = uninterrupted(tmp_path_factory.mktemp("whole"), words)
    assert len(crash(tmp_path_factory.mktemp("killed"), words, whole, 5, rows)) == 5


@pytest.mark.slow
def test_refit_that_is_killed_ends_bit_identical(tmp_path_factory):
    words = (*TWO_PHASE, "checkpoint.every_steps=2")
    whole = uninterrupted(tmp_path_factory.mktemp("whole"), words)
    folder = tmp_path_factory.mktemp("killed")
    process = start(folder, *words, "hydra.run.dir=run")
    for rows in (2, 6, 12):
        assert kill_when(
            process, lambda rows=rows: rows_of(folder / "run/refit", "steps.csv") >= rows
        )
        process = start(folder, "resume", "run")
    assert process.wait(timeout=300) == 0
    assert_same(folder / "run", whole)


@pytest.mark.slow
def test_run_killed_at_random_moments_ends_bit_identical(tmp_path, whole):
    random.seed(1)
    process = start(tmp_path, *WORDS, "hydra.run.dir=run")
    for _ in range(6):
        end = time.monotonic() + random.uniform(4, 14)
        if not kill_when(process, lambda end=end: time.monotonic() > end):
            break
        process = start(tmp_path, "resume", "run")
    assert process.wait(timeout=300) == 0
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_state_costs_steps_and_no_numbers(tmp_path, whole, damage):
    process = start(tmp_path, *WORDS, "hydra.run.dir=run")
    assert kill_when(process, lambda: rows_of(tmp_path / "run", "steps.csv") >= 6)
    last = tmp_path / "run" / "state" / checkpoint.LAST
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content[: len(content) // 2] if damage == "truncated" else content)
    done = subprocess.run(
        line("resume", "run"), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "last.state is damaged" in done.stdout
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_signal_writes_a_state_and_resume_goes_on(tmp_path, whole, number, code):
    run = tmp_path / "run"
    process = start(tmp_path, *WORDS, "checkpoint.every_steps=null", "hydra.run.dir=run")
    while rows_of(run, "steps.csv") < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"cnntrain resume run goes on" in stderr
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert checkpoint.load_checkpoint(run / "state").facts["loop"]["step"] > 10
    subprocess.run(line("resume", "run"), cwd=tmp_path, check=True, capture_output=True)
    assert_same(run, whole)


def test_run_without_a_state_begins_again(tmp_path, command):
    process = start(tmp_path, "epochs=1", "hydra.run.dir=run")
    assert kill_when(process, lambda: (tmp_path / "run" / "run.json").exists())
    assert command("resume", "run").returncode == 0
    assert rows_of(tmp_path / "run", "history.csv") == 1


def test_run_at_work_is_not_resumed_by_another(tmp_path, command):
    process = start(tmp_path, "epochs=10000", "hydra.run.dir=run")
    while rows_of(tmp_path / "run", "history.csv") < 1:
        time.sleep(0.05)
    done = command("resume", "run")
    process.kill()
    process.wait()
    assert done.returncode == 2
    assert "another process" in done.stderr


def test_more_epochs_keep_the_curve_or_stretch_it(tmp_path, command):
    short = ("epochs=2", "dataset.limit=128", "batch_size=32", "log_every=1")
    assert command(*short, "hydra.run.dir=kept").returncode == 0
    assert "finished" in command("resume", "kept").stdout
    shutil.copytree(tmp_path / "kept", tmp_path / "stretched")
    rates = {}
    for name, extra in [("kept", ()), ("stretched", ("replan=true",))]:
        assert command("resume", name, "epochs=4", *extra).returncode == 0
        assert rows_of(tmp_path / name, "history.csv") == 4
        table = (tmp_path / name / "steps.csv").read_text().splitlines()[1:]
        rates[name] = [float(row.split(",")[2]) for row in table]
    assert rates["kept"][8:] == [rates["kept"][7]] * 8
    assert rates["stretched"][8] > rates["kept"][7]
    assert rates["stretched"][15] < rates["stretched"][8]


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["max_steps=6", "max_steps=13"], ids=["in the first", "later"])
def test_two_phases_that_are_extended_are_as_long_as_planned(tmp_path, command, ended):
    words = (
        "finetune=two_phase", "finetune.head_epochs=3", "epochs=5", "schedule=constant",
        "dataset.limit=128", "batch_size=32", "log_every=1",
    )  # fmt: skip
    assert command(*words, ended, "hydra.run.dir=run").returncode == 0
    assert command("resume", "run", "max_steps=null").returncode == 0
    table = (tmp_path / "run" / "steps.csv").read_text().splitlines()[1:]
    rates = [float(row.split(",")[2]) for row in table]
    assert rates == pytest.approx([1e-3] * 12 + [1e-5] * 8)


@pytest.mark.slow
def test_weights_to_begin_with_may_go_once_the_run_has_begun(tmp_path, command):
    short = ("epochs=2", "dataset.limit=128", "batch_size=32")
    assert command(*short, "hydra.run.dir=base").returncode == 0
    words = (*short, "init_from=base", "finetune=head", "refit=true")
    assert command(*words, "hydra.run.dir=run").returncode == 0
    (tmp_path / "base").rename(tmp_path / "gone")
    done = command("resume", "run", "epochs=4")
    assert done.returncode == 0, done.stderr
    assert rows_of(tmp_path / "run", "history.csv") == 4


@pytest.mark.slow
def test_refit_of_an_extended_run_is_the_same_whether_or_not_it_was_made_before(tmp_path, command):
    words = ("epochs=2", "dataset.limit=128", "batch_size=32", "refit=true")
    rates = {}
    for name in ("kept", "removed"):
        assert command(*words, f"hydra.run.dir={name}").returncode == 0
        if name == "removed":
            shutil.rmtree(tmp_path / name / "refit")
        assert command("resume", name, "epochs=4").returncode == 0
        rates[name] = timeless((tmp_path / name / "refit" / "history.csv").read_text())
    assert rates["kept"] == rates["removed"]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("nowhere",), "nowhere is not there"),
        ((), "no run is named"),
        (("run", "model=vgg16"), "model cannot change"),
        (("run", "seed=1"), "seed cannot change"),
        (("run", "epochs=1"), "8 steps and is to end after 4"),
        (("run", "epochs=-1"), "epochs is -1"),
    ],
)
def test_what_cannot_be_resumed_is_answered(tmp_path, command, short_run, words, given):
    shutil.copytree(short_run, tmp_path / "run")
    done = command("resume", *words)
    assert done.returncode == 2
    assert given in done.stderr
    assert "Traceback" not in done.stderr
    if "run" in words:
        assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
        assert command("resume", "run").returncode == 0


def test_edited_spec_is_refused_with_what_differs(tmp_path, command, short_run):
    shutil.copytree(short_run, tmp_path / "run")
    spec = tmp_path / "run" / "spec.yaml"
    spec.write_text(spec.read_text().replace("seed: 0", "seed: 1"))
    done = command("resume", "run", "epochs=3")
    assert done.returncode == 2
    assert "of another spec: " in done.stderr
    assert "seed" in done.stderr


def test_more_epochs_of_a_run_that_max_steps_ended_are_answered(left_behind):
    planned = {"steps": 20, "steps_per_epoch": 10}
    folder = left_behind("a", "max_steps=20", planned=planned)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / "last.state").touch()
    run, notes = reopen_run(read_resumed_run(str(folder), ["epochs=99"]))
    assert run.read_run_json()["status"] == "finished"
    assert "max_steps=20 ends it, whatever epochs is; max_steps=N goes on beyond" in notes[0]
