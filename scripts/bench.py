"""Images per second of our whole training step over plain Keras `fit` on the same arrays.

Both train the same network, from the same weights, without augmentation and with the same
determinism setting, in turn within one process; the medians of the rounds are compared. Run it
alone on the machine: `make bench`.
"""

import argparse
import json
import os
import statistics
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

from cnntrain import pipeline
from cnntrain.compose import compose
from cnntrain.console import Console
from cnntrain.datasets.source import Examples, Splits
from cnntrain.fitting import Fitting
from cnntrain.network import build
from cnntrain.runs import Run
from cnntrain.spec import Spec, spec
from cnntrain.trainer import set_up

CASES = {"lenet5": ((32, 32, 1), 51_200), "cnn_cifar": ((32, 32, 3), 25_600)}
Epoch = Callable[[], Any]


def main() -> None:
    """Print a row for each case: both rates, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        rows = [measure(model, arguments.rounds, stack) for model in CASES]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'model':<12}{'cnntrain':>14}{'keras fit':>14}{'ratio':>8}   (images/s, medians)")
    for row in rows:
        ours, theirs = row["cnntrain"], row["keras"]
        print(f"{row['model']:<12}{ours:>14,.0f}{theirs:>14,.0f}{row['ratio']:>8.3f}")


def measure(model: str, rounds: int, stack: ExitStack) -> dict[str, Any]:
    """Time epochs of both in turn; the first round, which compiles, does not count."""
    image_shape, count = CASES[model]
    checked = spec(compose([f"model={model}", "schedule=constant"]).config)
    set_up(checked)
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
    """Random pixels: the time of a step does not depend on what they show."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *image_shape), np.uint8)
    examples = Examples(images, random.integers(0, 10, count).astype(np.int32))
    few = examples[np.arange(100)]
    return Splits(examples, few, few, tuple("0123456789"), {})


def ours(checked: Spec, splits: Splits, run: Run) -> Epoch:
    """An epoch as the trainer runs it: our pipeline, rates and callback, a file saved, rows."""
    fitting = Fitting(checked, run, splits, Console(run, checked, RichConsole(quiet=True)))
    steps, loop = fitting.steps_per_epoch, fitting.loop
    stage, train = fitting.staged(0, fitting.phases[0], fitting.total_steps)
    loop.enter(0, stage)
    batches = pipeline.training(
        train, checked.batch_size, steps, checked.augmentation, checked.seed
    )
    return lambda: stage.trainee.fit(
        batches, steps_per_epoch=steps, callbacks=[loop], shuffle=False, verbose=0
    )


def theirs(checked: Spec, splits: Splits) -> Epoch:
    """An epoch as a notebook runs it: `fit` on the arrays, shuffled."""
    model = keras.Sequential(
        [keras.Input(splits.image_shape), *build(checked, splits, total_steps=1000)[0].layers[1:]]
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
