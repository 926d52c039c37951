"""train(spec, run): the story of a run, from the spec to the report."""

import math
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from cnntrain import losses, pipeline, runs
from cnntrain.datasets.source import Examples, Splits
from cnntrain.errors import SpecError
from cnntrain.evaluation import evaluate
from cnntrain.fingerprint import fingerprint
from cnntrain.loop import Loop, Progress
from cnntrain.normalisation import normalisation
from cnntrain.runs import Run
from cnntrain.spec import Spec


def train(spec: Spec, run: Run, progress: Progress) -> dict[str, Any]:
    """Train what `spec` describes into the directory of `run`; return the report.

    Raises SpecError, before the first step, for what only the data can show to be wrong.
    """
    clock = Clock()
    set_up(spec)
    manual_dir = Path(spec.manual_dir).expanduser() if spec.manual_dir else None
    splits = spec.dataset(Path(spec.data_dir).expanduser(), manual_dir)
    steps_per_epoch, total_steps = plan(spec, splits.train)
    clock.lap("data")

    network = build(spec, splits, total_steps)
    rate = spec.schedule(steps_per_epoch, total_steps)
    optimizer = spec.optimizer(network, rate)
    trainee = keras.Model(network.inputs, network.outputs)  # compiled; `network` is what is saved
    trainee.compile(optimizer, losses.cross_entropy, metrics=losses.metrics())
    batches = pipeline.training(
        splits.train, spec.batch_size, steps_per_epoch, spec.augmentation, spec.seed
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

    loop = Loop(spec, run, network, rate, splits.valid, steps_per_epoch, total_steps, progress)
    trainee.fit(
        batches,
        epochs=math.ceil(total_steps / steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
        callbacks=[loop],
        shuffle=False,
        verbose=0,
    )
    clock.lap("train")

    report: dict[str, Any] = {
        "test": {"final": evaluate(network, splits.test, spec.batch_size)},
        "valid": {"final": evaluate(network, splits.valid, spec.batch_size)},
        "parameters": parameters(network),
        "monitor": {"name": spec.monitor, "best": loop.best.best},
        "epochs": loop.epochs,
        "steps": loop.step,
    }
    run.save(network, run.final)
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
    """Set what TensorFlow reads once: seeds, determinism, threads."""
    keras.utils.clear_session()  # names of layers, and so of variables, begin from the same numbers
    keras.utils.set_random_seed(spec.seed)
    if spec.deterministic:
        tf.config.experimental.enable_op_determinism()
    if spec.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)


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


def build(spec: Spec, splits: Splits, total_steps: int) -> keras.Model:
    """Return the network: uint8 images (B, H, W, C) in, float32 logits (B, classes) out."""
    body = spec.model(splits.image_shape, len(splits.class_names))
    spec.initializer(body, spec.seed)
    fit_batch_norm(body, spec.batch_norm_momentum, total_steps)
    images = keras.Input(splits.image_shape, dtype="uint8", name="images")
    logits = body(normalisation(spec.normalisation, splits.train)(images))
    return keras.Model(images, logits, name=f"{body.name}_trained")


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
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
    }


def introduction(spec: Spec, splits: Splits, network: keras.Model) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in sizes(splits).items())
    shape = "x".join(str(size) for size in splits.image_shape)
    return (
        f"{spec.model.name}: {parameters(network)['total']:,} parameters; "
        f"{len(splits.class_names)} classes of {shape} images: {counts}"
    )
