"""A step on several devices is the step of one; a worker that is lost ends the run, and no more."""

import csv
import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from cnntrain.runs import checkpoint

STEPS = ("epochs=5", "max_steps=50", "log_every=1")
MIRRORED = ("distribution=mirrored", "distribution.logical_cpus=2")
# All that is between the gradient and the weights, but for batch norm and dropout, which see parts.
WHOLE_STEP = (
    "accumulate=2", "ema_decay=0.9", "optimizer=sgd", "optimizer.l2=1e-3",
    "optimizer.global_clip_norm=0.5", "optimizer.bias_rate=3", "finetune=layer_wise",
    "augmentation=mixup",
)  # fmt: skip
# A network with both, whose state has a mean, a seed, slots and an average.
CONVNET = (
    "model=cnn_cifar", "model.filters=[8,16]", "model.hidden=32", "model.batch_norm=true",
    "ema_decay=0.99", "log_every=1", "checkpoint.every_steps=4",
)  # fmt: skip


def numbers(run, table, column):
    with (run / table).open() as file:
        return np.array([float(row[column]) for row in csv.DictReader(file)])


def assert_same_losses(run, other):
    """Assert that two runs have equal losses to 1e-5, in every step and in validation."""
    for table, column in (("steps.csv", "train.loss"), ("history.csv", "valid.loss")):
        assert np.allclose(
            numbers(run, table, column), numbers(other, table, column), rtol=0, atol=1e-5
        ), column


def weights(path):
    import keras

    return keras.models.load_model(path).get_weights()


def free_ports(count):
    """Return ports that nothing listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


class Workers:
    """Two processes on this machine that train together, in a folder."""

    def __init__(self, folder):
        self.folder, self.run = folder, folder / "run"
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]

    def start(self, *words):
        group = f"distribution.workers=[{','.join(self.addresses)}]"
        line = [sys.executable, "-m", "cnntrain", *words, group]
        self.processes = [
            subprocess.Popen(
                [*line, f"distribution.index={index}"],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in (0, 1)
        ]
        return self

    def train(self, *words):
        return self.start(*words, "distribution=multi_worker", "hydra.run.dir=run")

    def done(self):
        """Wait for both; return their exit codes and what they said on standard error."""
        said = [process.communicate(timeout=240)[1] for process in self.processes]
        return [process.returncode for process in self.processes], said

    def wait_for(self, rows):
        """Wait until steps.csv has so many rows."""
        path, deadline = self.run / "steps.csv", time.monotonic() + 120
        while not (path.exists() and path.read_text().count("\n") > rows):
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in self.processes), self.done()
            time.sleep(0.01)


def test_step_on_two_devices_is_the_step_of_one(command, train, tmp_path):
    words = (*WHOLE_STEP, "epochs=2", "max_steps=12", "log_every=1")
    one, _ = train(*words, name="one")
    done = command(*words, *MIRRORED, "hydra.run.dir=two")
    assert done.returncode == 0, done.stderr
    assert_same_losses(tmp_path / "two", one.folder)
    assert json.loads((tmp_path / "two/run.json").read_text())["replicas"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*MIRRORED, "batch_size=127"), "2 devices share each batch"),
        ((*MIRRORED, "batch_size=126", "accumulate=2"), "in 2 micro-batches each"),
        ((*MIRRORED, "distribution.devices=[0]"), "both set"),
        (("distribution=multi_worker",), "distribution.workers is null"),
        (("distribution=mirored",), "distribution=mirrored"),
    ],
)
def test_devices_that_cannot_share_a_batch_are_refused_and_nothing_is_left(
    answer, tmp_path, words, said
):
    done = answer(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_three_ways_to_train_lenet5_have_the_same_losses(command, tmp_path):
    for name, devices in (("single", ()), ("mirrored", MIRRORED)):
        assert command(*STEPS, *devices, f"hydra.run.dir={name}").returncode == 0
    workers = Workers(tmp_path).train(*STEPS)
    codes, said = workers.done()
    assert codes == [0, 0], said
    assert len(numbers(workers.run, "steps.csv", "train.loss")) == 50
    assert_same_losses(tmp_path / "mirrored", tmp_path / "single")
    assert_same_losses(workers.run, tmp_path / "single")


@pytest.mark.slow
def test_auxiliary_heads_and_regularizers_count_once(command, tmp_path):
    words = ("model=googlenet", "model.dropout=0", "model.auxiliary_dropout=0",
             "dataset.image_size=[65,65]", "dataset.limit=64", "batch_size=16", "optimizer.l2=1e-3",
             "epochs=2", "max_steps=4", "log_every=1", "optimizer=sgd")  # fmt: skip
    for name, devices in (("one", ()), ("two", MIRRORED)):
        done = command(*words, *devices, f"hydra.run.dir={name}")
        assert done.returncode == 0, done.stderr
    assert_same_losses(tmp_path / "two", tmp_path / "one")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the run of two workers that was not disturbed."""
    workers = Workers(tmp_path_factory.mktemp("whole")).train(*CONVNET, "epochs=6")
    codes, said = workers.done()
    assert codes == [0, 0], said
    return workers.run


def assert_same_run(run, whole):
    arrays, expected = (
        checkpoint.load_checkpoint(folder / "state").arrays for folder in (run, whole)
    )
    assert [name for name in arrays if not np.array_equal(arrays[name], expected[name])] == []
    for name in ("best.keras", "final.keras", "ema.keras"):
        pairs = zip(weights(run / name), weights(whole / name), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), name
    losses = [numbers(folder, "steps.csv", "train.loss") for folder in (run, whole)]
    assert np.array_equal(*losses)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1, 0])
def test_killed_worker_ends_the_other_and_both_go_on_exactly(tmp_path, whole, victim):
    workers = Workers(tmp_path).train(*CONVNET, "epochs=6")
    workers.wait_for(rows=17)
    workers.processes[victim].kill()
    killed = time.monotonic()
    codes, said = workers.done()
    other = 1 - victim
    assert time.monotonic() - killed < 60
    assert codes[victim] == -signal.SIGKILL
    assert codes[other] == 1
    address = workers.addresses[victim]
    assert f"worker {victim} at {address} does not answer" in said[other]
    assert "cnntrain resume" in said[other]
    assert "Traceback" not in said[other]
    assert checkpoint.load_checkpoint(workers.run / "state").facts["loop"]["step"] >= 16
    codes, said = workers.start("resume", "run").done()
    assert codes == [0, 0], said
    assert_same_run(workers.run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("told", [1, 0])
def test_worker_that_is_terminated_takes_the_others_with_it_at_the_same_step(tmp_path, whole, told):
    workers = Workers(tmp_path).train(*CONVNET, "epochs=6", "checkpoint.every_steps=null")
    workers.wait_for(rows=14)
    workers.processes[told].send_signal(signal.SIGTERM)
    codes, said = workers.done()
    assert codes == [143, 143], said
    assert checkpoint.load_checkpoint(workers.run / "state").facts["loop"]["step"] > 14
    codes, said = workers.start("resume", "run").done()
    assert codes == [0, 0], said
    assert_same_run(workers.run, whole)


@pytest.mark.slow
def test_workers_of_two_specs_are_refused(tmp_path):
    workers = Workers(tmp_path)
    seeds = [Workers(tmp_path) for _ in range(2)]
    for index, one in enumerate(seeds):
        one.addresses = workers.addresses
        one.start("distribution=multi_worker", f"seed={index}", f"hydra.run.dir=run{index}")
        one.processes[1 - index].kill()
    codes = [one.processes[index].wait(timeout=120) for index, one in enumerate(seeds)]
    assert codes == [1, 2]
