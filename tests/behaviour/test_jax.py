"""Keras on JAX: the same command, other arithmetic; exact in itself, and its weights are Keras'."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cnntrain.runs import checkpoint

JAX = os.environ | {"KERAS_BACKEND": "jax"}
# All that a step can hold, so that a resume must bring all of it back.
WHOLE_STEP = (
    "model=cnn_cifar", "model.filters=[4,8]", "model.hidden=16", "model.batch_norm=true",
    "ema_decay=0.99", "accumulate=2", "finetune=layer_wise", "optimizer.l2=1e-4",
    "schedule.plateau.patience=1", "schedule.plateau.min_delta=0.5", "checkpoint.every_steps=3",
    "dataset.limit=320", "batch_size=16", "epochs=6", "log_every=1",
    "fused_norm=true",  # which JAX does by itself
)  # fmt: skip
MIRRORED = ("distribution=mirrored", "distribution.logical_cpus=2")


@pytest.fixture(autouse=True)
def _installed():
    pytest.importorskip("jax")


def report(run):
    return json.loads((run / "report.json").read_text())


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("distribution=multi_worker", "distribution.workers=[a:1]", "distribution.index=0"),
         JAX, "distribution=mirrored or single"),
        (("threads=1",), JAX, "threads=null"),
        ((), os.environ | {"KERAS_BACKEND": "torch"}, "tensorflow, jax"),
    ],
)  # fmt: skip
def test_what_jax_cannot_do_is_refused_before_anything(command, tmp_path, words, environment, said):
    done = command(*words, env=environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert not any(tmp_path.iterdir())


def test_run_goes_on_with_the_backend_that_it_began_with(command, tmp_path):
    (tmp_path / "run/state").mkdir(parents=True)
    (tmp_path / "run/run.json").write_text('{"backend": "jax", "status": "interrupted"}')
    spec = command("--cfg", "job")
    (tmp_path / "run/spec.yaml").write_text(spec.stdout)
    done = command("resume", "run")
    assert done.returncode == 2
    assert "KERAS_BACKEND=jax" in done.stderr


@pytest.mark.slow
def test_lenet5_learns_the_digits_as_well_and_its_weights_are_tensorflows_too(command, tmp_path):
    done = command("hydra.run.dir=run", env=JAX)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert report(run)["test"]["final"]["accuracy"] >= 0.955  # TensorFlow, four seeds: 96.4 to 96.9
    record = json.loads((run / "run.json").read_text())
    assert record["backend"] == "jax"
    assert "jax" in record["versions"]

    import keras

    from cnntrain.spec.build import build_spec
    from cnntrain.spec.compose import compose_config
    from cnntrain.training.evaluation import evaluate_network

    assert keras.backend.backend() == "tensorflow"
    network = keras.models.load_model(run / "best.keras")
    found = evaluate_network(network, build_spec(compose_config([]).config).load_splits().test, 128)
    assert found == pytest.approx(report(run)["test"]["best"], abs=1e-5)


@pytest.mark.slow
def test_run_that_is_killed_on_jax_ends_bit_identical(command, tmp_path):
    assert command(*WHOLE_STEP, "hydra.run.dir=whole", env=JAX).returncode == 0
    line = [sys.executable, "-m", "cnntrain"]
    words = [*WHOLE_STEP, "hydra.run.dir=run"]
    for rows in (25, 61):
        process = subprocess.Popen([*line, *words], cwd=tmp_path, env=JAX)
        table, deadline = tmp_path / "run/steps.csv", time.monotonic() + 240
        while not (table.exists() and table.read_text().count("\n") > rows):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        words = ["resume", "run"]
    done = command("resume", "run", env=JAX)
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        checkpoint.load_checkpoint(tmp_path / name / "state") for name in ("run", "whole")
    )
    assert len(theirs.facts["decided"]["reductions"]) >= 2
    assert ours.facts["decided"]["reductions"] == theirs.facts["decided"]["reductions"]
    assert ours.arrays.keys() == theirs.arrays.keys()
    assert [k for k, v in ours.arrays.items() if not np.array_equal(v, theirs.arrays[k])] == []
    assert report(tmp_path / "run")["test"] == report(tmp_path / "whole")["test"]


PLACING = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.training.devices.setup import set_up_devices
from cnntrain.training.train_step_jax import JaxTrainStep
from types import SimpleNamespace
import keras
spec = build_spec(compose_config(["distribution=mirrored", "distribution.logical_cpus=2"]).config)
assert set_up_devices(spec).replicas == 2
network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
optimizer = keras.optimizers.SGD()
parts = SimpleNamespace(network=network, optimizer=optimizer, average=None, resident={})
step = JaxTrainStep(parts, 2)
with ThreadPoolExecutor(1) as pool:
    arrays, count = pool.submit(step.place, {"images": np.zeros((2, 8, 3), "uint8")}).result()
print(sorted(shard.data.shape for shard in arrays["images"].addressable_shards))
"""


def test_each_device_gets_its_part_of_a_batch_that_a_thread_has_made():
    done = subprocess.run(
        [sys.executable, "-c", PLACING], env=JAX, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[(2, 4, 3), (2, 4, 3)]", done.stderr


@pytest.mark.slow
def test_step_in_pieces_and_on_two_devices_is_the_step_of_one(command, tmp_path):
    words = ("epochs=2", "dataset.limit=131", "batch_size=32", "log_every=1", "optimizer.l2=1e-3")
    ways = {"one": (), "two": MIRRORED, "pieces": ("accumulate=4",)}
    for name, way in ways.items():
        done = command(*words, *way, f"hydra.run.dir={name}", env=JAX)
        assert done.returncode == 0, done.stderr
    for name in ("two", "pieces"):
        for kind in ("valid", "test"):
            expected = pytest.approx(report(tmp_path / "one")[kind]["final"], abs=1e-5)
            assert report(tmp_path / name)[kind]["final"] == expected
    assert json.loads((tmp_path / "two/run.json").read_text())["replicas"] == 2


@pytest.mark.slow
def test_images_that_grow_are_exact_on_jax_too(command, tmp_path):
    words = (
        "model=cnn_relu", "model.filters=[4,8]", "model.batch_norm=true", "model.head=average",
        "batch_norm_momentum=0.9", "schedule=constant", "augmentation=flip_crop",
        "image_sizes=[[24,2]]", "dataset.limit=64", "batch_size=16", "epochs=4",
    )  # fmt: skip
    for made in (
        command(*words, "pipeline=device", "hydra.run.dir=whole", env=JAX),
        command(*words, "max_steps=6", "hydra.run.dir=run", env=JAX),
        command("resume", "run", "max_steps=null", env=JAX),
    ):
        assert made.returncode == 0, made.stderr
    ours, theirs = (
        checkpoint.load_checkpoint(tmp_path / name / "state").arrays for name in ("run", "whole")
    )
    assert ours.keys() == theirs.keys()
    assert [name for name, value in theirs.items() if not np.array_equal(value, ours[name])] == []
