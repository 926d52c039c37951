"""train(spec, run): the story of a run, from the spec to the report."""

import math
import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnntrain import losses, pipeline, runs, state
from cnntrain.datasets.source import Examples, Splits
from cnntrain.errors import SpecError
from cnntrain.evaluation import evaluate
from cnntrain.fingerprint import fingerprint
from cnntrain.loop import Loop, Progress
from cnntrain.normalisation import normalisation
from cnntrain.runs import Run
from cnntrain.spec import MAY_CHANGE, Spec
from cnntrain.state import State


def train(spec: Spec, run: Run, progress: Progress) -> dict[str, Any]:
    """Train what `spec` describes into the directory of `run`; return the report.

    Raises SpecError, before the first step, for what only the data can show to be wrong.
    """
    clock = Clock()
    set_up(spec)
    manual_dir = folder(spec.manual_dir, "manual_dir") if spec.manual_dir else None
    splits = spec.dataset(folder(spec.data_dir, "data_dir"), manual_dir)
    steps_per_epoch, total_steps = plan(spec, splits.train)
    clock.lap("data")

    resumed = state.load(run.state)
    if resumed is not None:
        check_resumable(spec, run, resumed, splits, total_steps, progress)
    start = resumed.facts["step"] if resumed else 0
    planned = resumed.facts["planned_steps"] if resumed else total_steps
    network = build(spec, splits, planned)
    rate = spec.schedule(steps_per_epoch, total_steps if spec.schedule["stretch"] else planned)
    optimizer = spec.optimizer(network, rate)
    trainee = compiled(network, optimizer)
    batches = pipeline.training(
        splits.train, spec.batch_size, steps_per_epoch, spec.augmentation, spec.seed, start
    )
    run.update(
        seed=spec.seed,
        spec_hash=spec.hash,
        device=device(),
        data={"fingerprint": fingerprint(splits), "sizes": sizes(splits), "origin": splits.origin},
        class_names=splits.class_names,
    )
    progress.note(introduction(spec, splits, network))
    clock.lap("build")

    loop = Loop(
        spec, run, network, rate, splits.valid, steps_per_epoch, total_steps, progress, resumed
    )
    first_epoch = start // steps_per_epoch
    over = resumed is not None and resumed.facts["stopped_early"]
    with loop.signals:
        trainee.fit(
            batches,
            initial_epoch=first_epoch,
            epochs=first_epoch if over else math.ceil(total_steps / steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            callbacks=[loop],
            shuffle=False,
            verbose=0,
        )
    clock.lap("train")

    run.save(network, run.final)
    report: dict[str, Any] = {
        "test": {"final": evaluate(network, splits.test, spec.batch_size)},
        "valid": {"final": evaluate(network, splits.valid, spec.batch_size)},
        "parameters": parameters(network),
        "monitor": {"name": spec.monitor, "best": loop.best.best},
        "epochs": loop.epochs,
        "steps": loop.step,
    }
    if loop.best_row is not None:
        network.load_weights(run.best)
        report["test"]["best"] = evaluate(network, splits.test, spec.batch_size)
        report["valid"]["best"] = evaluate(network, splits.valid, spec.batch_size)
        report["best_epoch"] = int(loop.best_row["epoch"])
    clock.lap("test")
    report["seconds"] = clock.seconds | {"steps": loop.seconds}
    report["images_per_second"] = round(loop.step * spec.batch_size / loop.seconds, 1)
    runs.write_json(run.report, report)
    return report


class Clock:
    """The seconds of the parts of a run."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.seconds["total"] = round(now - self.began, 3)
        self.last = now


def set_up(spec: Spec) -> None:
    """Set what TensorFlow reads once: determinism and threads."""
    if spec.deterministic:
        tf.config.experimental.enable_op_determinism()
    if spec.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)


def folder(text: str, setting: str) -> Path:
    """A path of the spec, with `~` for the home of its user."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (RuntimeError, OSError) as error:
        raise SpecError(f"{setting} is {text}", f"a path that can be: {error}") from None
    return path


def plan(spec: Spec, train: Examples) -> tuple[int, int]:
    """Return the steps of an epoch and of the run."""
    if len(train) < spec.batch_size:
        raise SpecError(
            f"batch_size is {spec.batch_size} and there are {len(train)} training images",
            "a batch no larger than the training split",
            f"batch_size={2 ** int(math.log2(len(train)))}",
        )
    whole = len(train) // spec.batch_size
    if spec.steps_per_epoch is not None and spec.steps_per_epoch > whole:
        raise SpecError(
            f"steps_per_epoch is {spec.steps_per_epoch} and {len(train)} training images make "
            f"{whole} batches of {spec.batch_size}",
            f"a whole number from 1 to {whole}",
            "more epochs",
        )
    steps_per_epoch = spec.steps_per_epoch or whole
    total_steps = spec.epochs * steps_per_epoch
    return steps_per_epoch, min(total_steps, spec.max_steps or total_steps)


def check_resumable(
    spec: Spec,
    run: Run,
    resumed: State,
    splits: Splits,
    total_steps: int,
    progress: Progress,
) -> None:
    """Refuse a state that is not of this spec and this data; say what was damaged."""
    for name in resumed.damaged:
        progress.note(f"{run.state / name} is damaged and is not used")
    if not resumed.arrays:
        raise SpecError(f"no state in {run.state} is whole", "one that is", "a new run")
    before, now = resumed.facts["decides"], spec.decides
    differ = [
        key
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in MAY_CHANGE
    ]
    if differ:
        raise SpecError(
            f"the state in {run.state} is of another spec: {', '.join(differ)}",
            "the spec.yaml that the run began with",
        )
    if resumed.facts["step"] > total_steps:
        raise SpecError(
            f"the run has made {resumed.facts['step']} steps and is to end after {total_steps}",
            "more epochs than it has made",
        )
    if (data := run.read().get("data")) and data["fingerprint"] != fingerprint(splits):
        raise SpecError(
            "the images are not those that the run began with",
            f"the fingerprint {data['fingerprint'][:12]}…",
            "data_dir= or manual_dir= where they lie now",
        )


def build(spec: Spec, splits: Splits, total_steps: int) -> keras.Model:
    """Return the network: uint8 images (B, H, W, C) in, float32 logits (B, classes) out.

    Twice the same, whatever was done before: names of layers, and so of variables, begin from the
    same numbers, and so do the seeds of dropout.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(spec.seed)
    body = spec.model(splits.image_shape, len(splits.class_names))
    spec.initializer(body, spec.seed)
    fit_batch_norm(body, spec.batch_norm_momentum, total_steps)
    images = keras.Input(splits.image_shape, dtype="uint8", name="images")
    logits = body(normalisation(spec.normalisation, splits.train)(images))
    assert logits.shape == (None, len(splits.class_names)), "one logit for each class"
    return keras.Model(images, logits, name=body.name)


def compiled(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Return what `fit` trains: the layers of `network`, which itself stays as it is saved.

    Its metrics are built by a first use: a state cannot be restored into what is not there yet.
    """
    trainee = keras.Model(network.inputs, network.outputs)
    trainee.compile(optimizer, losses.cross_entropy, metrics=losses.metrics())
    trainee.compute_metrics(None, np.zeros(1, "int32"), np.zeros((1, *network.output_shape[1:])))
    trainee.reset_metrics()
    return trainee


def fit_batch_norm(network: keras.Model, momentum: float | str, total_steps: int) -> None:
    """Give every batch norm a memory that fits the run.

    With `auto` the weight of the initial statistics after the run is at most exp(-10); with
    Keras' 0.99 it is still 43 % after 85 steps, and evaluation sees statistics of no data.
    """
    if momentum == "auto":
        momentum = min(0.99, max(0.5, 1 - 10 / total_steps))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
        elif isinstance(layer, keras.Model):
            fit_batch_norm(layer, momentum, total_steps)


def parameters(network: keras.Model) -> dict[str, int]:
    trainable = sum(math.prod(v.shape) for v in network.trainable_weights)
    fixed = sum(math.prod(v.shape) for v in network.non_trainable_weights)
    return {"total": trainable + fixed, "trainable": trainable}


def sizes(splits: Splits) -> dict[str, int]:
    return {name: len(part) for name, part in splits.items()}


def device() -> dict[str, Any]:
    physical = tf.config.list_physical_devices("GPU")
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in physical]
    return {
        "kind": "GPU" if gpus else "CPU",
        "gpus": [gpu.get("device_name") for gpu in gpus],
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or cores(),
    }


def cores() -> int:
    """How many processors this process may use; TensorFlow takes them all unless told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def introduction(spec: Spec, splits: Splits, network: keras.Model) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in sizes(splits).items())
    cut = [name for name in ("valid", "test") if splits.origin[name] != "official"]
    shape = "x".join(str(size) for size in splits.image_shape)
    return (
        f"{network.name}: {parameters(network)['total']:,} parameters; "
        f"{len(splits.class_names)} classes of {shape} images: {counts}"
        + (f" ({' and '.join(cut)} cut from train)" if cut else "")
    )
