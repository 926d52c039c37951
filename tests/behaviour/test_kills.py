"""A run that was killed, at any moment and however often, ends as if it never was."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cnntrain.runs import checkpoint
from helpers.run_files import are_equal, load_weights

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
LONG = (
    *CONVNET, "batch_size=16", "epochs=180", "checkpoint.every_steps=10",
    "early_stopping.patience=180",
)  # fmt: skip
TWO_PHASE = (
    *CONVNET, "finetune=two_phase", "finetune.head_epochs=3", "finetune.learning_rate=3e-4",
    "finetune.schedule={name: inverse_time, plateau: {patience: 1}}",
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


def result(run):
    """All that a run leaves, timings aside: the last state, the history, the report."""
    last = checkpoint.load_checkpoint(run / "state")
    facts = {k: v for k, v in last.facts.items() if k not in ("tables", "journal", "decided")}
    timed = ("seconds", "epoch_seconds", "spent", "best_row")
    for part in ("journal", "decided"):
        facts |= {k: v for k, v in last.facts[part].items() if k not in timed}
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
        ours, theirs = (load_weights(folder / name) for folder in (run, whole))
        assert are_equal(ours, theirs), name
    if (whole / "refit").exists():
        assert_same(run / "refit", whole / "refit")


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
        steps.append(step_of(run))
        process = start(folder, "resume", "run")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr.decode()
    assert steps == sorted(set(steps)), "every life advanced"
    assert_same(run, whole)
    return done


def test_run_that_is_killed_and_terminated_ends_bit_identical(tmp_path, whole):
    """Killed while a checkpoint is written; then, where none is due, told to end by SIGTERM."""
    run = tmp_path / "run"
    process = start(tmp_path, *WORDS, "hydra.run.dir=run")
    assert kill_when(process, moments(run, 8)[1][1])
    assert load_weights(run / "best.keras")  # of the first epoch, which is behind it
    assert json.loads((run / "run.json").read_text())["status"] == "running"
    killed_at = step_of(run)
    process = start(tmp_path, "resume", "run", "checkpoint.every_steps=null")
    interrupt(process, run, signal.SIGTERM, 143)
    assert step_of(run) > killed_at
    subprocess.run(line("resume", "run"), cwd=tmp_path, check=True, capture_output=True)
    assert_same(run, whole)
    assert whole_plateau_fell(whole)


def step_of(run):
    """The step that a run would go on from."""
    return checkpoint.load_checkpoint(run / "state").facts["loop"]["step"]


def interrupt(process, run, number, code):
    """Send a signal after two more rows of steps.csv; what ends then has written a checkpoint."""
    rows = rows_of(run, "steps.csv")
    while rows_of(run, "steps.csv") < rows + 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"cnntrain resume run goes on" in stderr
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"


def whole_plateau_fell(whole):
    """The plateau fired at least twice, else the test would prove less than it says."""
    return len(checkpoint.load_checkpoint(whole / "state").facts["decided"]["reductions"]) >= 2


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


@pytest.mark.slow
def test_ctrl_c_writes_a_checkpoint_and_resume_goes_on(tmp_path, whole):
    run = tmp_path / "run"
    process = start(tmp_path, *WORDS, "checkpoint.every_steps=null", "hydra.run.dir=run")
    interrupt(process, run, signal.SIGINT, 130)
    assert step_of(run) > 4
    subprocess.run(line("resume", "run"), cwd=tmp_path, check=True, capture_output=True)
    assert_same(run, whole)
