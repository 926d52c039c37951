"""Images per second of our whole training step over plain Keras `fit` on the same arrays.

Both train the same network, from the same weights, without augmentation and with the same
determinism setting, in turn within one process; the medians of the rounds are compared. Run it
alone on the machine: `make bench`.

`make bench-determinism` (`--determinism`) measures what determinism costs instead: the training
steps of our runs with `deterministic=true` and `=false`, in turn. Each is a process of its own,
because TensorFlow cannot leave determinism again.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console as RichConsole

from cnntrain.data import pipeline
from cnntrain.data.source import Examples, Splits
from cnntrain.running.progress import RunConsole
from cnntrain.runs.directory import Run
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.spec import Spec
from cnntrain.training.devices.setup import configure_backend
from cnntrain.training.fitting import Fitting
from cnntrain.training.network import build_network

CASES = {"lenet5": ((32, 32, 1), 51_200), "cnn_cifar": ((32, 32, 3), 25_600)}
TIMED_EPOCHS = 3  # epochs of a run in a process of its own
Epoch = Callable[[], Any]


def main() -> None:
    """Print a row for each case: both rates, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--determinism", action="store_true", help="on against off, our step")
    parser.add_argument("--steps-of", nargs=2, help=argparse.SUPPRESS)  # MODEL true|false
    arguments = parser.parse_args()
    if arguments.steps_of:
        print(steps_of(*arguments.steps_of))
        return
    if arguments.determinism:
        rows = [determinism(model, arguments.rounds) for model in CASES]
        names, meaning = ("deterministic", "free"), "medians, and the ratio's range"
    else:
        with ExitStack() as stack:
            rows = [measure(model, arguments.rounds, stack) for model in CASES]
        names, meaning = ("cnntrain", "keras"), "medians"
    print(json.dumps(rows, indent=2) if arguments.json else table(rows, names, meaning))


def table(rows: list[dict[str, Any]], names: tuple[str, str], meaning: str) -> str:
    """Return the rows as a table for people."""
    first, second = names
    lines = [f"{'model':<12}{first:>14}{second:>14}{'ratio':>8}   (images/s, {meaning})"]
    for row in rows:
        line = f"{row['model']:<12}{row[first]:>14,.0f}{row[second]:>14,.0f}{row['ratio']:>8.3f}"
        spread = "   {:.3f} to {:.3f}".format(*row["range"]) if "range" in row else ""
        lines.append(line + spread)
    return "\n".join(lines)


def determinism(model: str, rounds: int) -> dict[str, Any]:
    """Time runs with determinism and without in pairs: on, off; off, on; and so on."""
    settings = {"deterministic": "true", "free": "false"}
    rates: dict[str, list[float]] = {name: [] for name in settings}
    for number in range(rounds):
        for name in sorted(settings, reverse=number % 2 == 1):
            rates[name].append(in_a_process(model, settings[name]))
    ratios = [on / off for on, off in zip(rates["deterministic"], rates["free"], strict=True)]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "model": model,
        **medians,
        "ratio": statistics.median(ratios),
        "range": [min(ratios), max(ratios)],
        "rounds": rounds,
    }


def in_a_process(model: str, deterministic: str) -> float:
    """Return what `steps_of` measures in a new process, whose output is shown only if it fails."""
    line = [sys.executable, __file__, "--steps-of", model, deterministic]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout)


def steps_of(model: str, deterministic: str) -> float:
    """Return images per second of a run's training steps, without the epoch that compiles."""
    checked = checked_spec(model, f"deterministic={deterministic}")
    configure_backend(checked)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.claim(Path(folder) / "run", checked.config, [])
        epoch = ours(checked, made_up(*CASES[model]), run)
        for _ in range(1 + TIMED_EPOCHS):
            epoch()
        with (run.folder / "history.csv").open() as history:
            rates = [float(row["images_per_second"]) for row in csv.DictReader(history)]
    return statistics.median(rates[1:])


def checked_spec(model: str, *overrides: str) -> Spec:
    return build_spec(compose_config([f"model={model}", "schedule=constant", *overrides]).config)


def measure(model: str, rounds: int, stack: ExitStack) -> dict[str, Any]:
    """Time epochs of both in turn; the first round, which compiles, does not count."""
    image_shape, count = CASES[model]
    checked = checked_spec(model)
    configure_backend(checked)
    splits = made_up(image_shape, count)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    run = Run.claim(Path(folder) / "run", checked.config, [])
    runners = {"cnntrain": ours(checked, splits, run), "keras": theirs(checked, splits)}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name in sorted(runners, reverse=number % 2 == 0):
            began = time.perf_counter()
            runners[name]()
            if number:
                seconds[name].append(time.perf_counter() - began)
    rates = {name: count / statistics.median(times) for name, times in seconds.items()}
    ratio = statistics.median(
        peer / own for own, peer in zip(seconds["cnntrain"], seconds["keras"], strict=True)
    )
    return {"model": model, **rates, "ratio": ratio, "rounds": rounds}


def made_up(image_shape: tuple[int, int, int], count: int) -> Splits:
    """Return splits of random pixels: the time of a step does not depend on what they show."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *image_shape), np.uint8)
    examples = Examples(images, random.integers(0, 10, count).astype(np.int32))
    few = examples[np.arange(100)]
    return Splits(examples, few, few, tuple("0123456789"), {})


def ours(checked: Spec, splits: Splits, run: Run) -> Epoch:
    """Return a function that trains an epoch as a run does, with its pipeline, callback and files.

    `Fitting.fit` trains all epochs at once; to time one, this does what it does for a phase.
    """
    fitting = Fitting(checked, run, splits, RunConsole(run, checked, RichConsole(quiet=True)))
    steps, loop = fitting.steps_per_epoch, fitting.loop
    loop.turn_to(0, fitting.total_steps)
    stage, train = fitting.staged(0, fitting.phases[0])
    loop.enter(stage)
    batches = pipeline.make_training_batches(
        train,
        len(splits.class_names),
        checked.batch_size,
        steps,
        checked.augmentation,
        checked.seed,
    )
    return lambda: stage.trainee.fit(
        batches, steps_per_epoch=steps, callbacks=[loop], shuffle=False, verbose=0
    )


def theirs(checked: Spec, splits: Splits) -> Epoch:
    """Return a function that trains an epoch as a notebook does: `fit` on the shuffled arrays."""
    model = keras.Sequential(
        [
            keras.Input(splits.image_shape),
            *build_network(checked, splits, total_steps=1000).network.layers[1:],
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    train = splits.train
    return lambda: model.fit(train.images, train.labels, batch_size=checked.batch_size, verbose=0)


if __name__ == "__main__":
    main()
