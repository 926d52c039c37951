"""Images per second of our whole training step over plain Keras `fit` on the same arrays.

Both train the same network, from the same weights, without augmentation and with the same
determinism setting, in turn within one process; the medians of the rounds are compared. Run it
alone on the machine: `make bench`.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from cnntrain import losses, pipeline
from cnntrain.compose import compose
from cnntrain.datasets.source import Examples, Splits
from cnntrain.spec import Spec, spec
from cnntrain.trainer import build, set_up

CASES = {"lenet5": ((32, 32, 1), 25_600), "cnn_cifar": ((32, 32, 3), 12_800)}
Epoch = Callable[[], Any]


def main() -> None:
    """Print a row for each case: both rates, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [measure(model, arguments.rounds) for model in CASES]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'model':<12}{'cnntrain':>14}{'keras fit':>14}{'ratio':>8}   (images/s, medians)")
    for row in rows:
        ours, theirs = row["cnntrain"], row["keras"]
        print(f"{row['model']:<12}{ours:>14,.0f}{theirs:>14,.0f}{row['ratio']:>8.3f}")


def measure(model: str, rounds: int) -> dict[str, Any]:
    """Time epochs of both in turn; the first round, which compiles, does not count."""
    image_shape, count = CASES[model]
    checked = spec(compose([f"model={model}", "schedule=constant"]).config)
    set_up(checked)
    splits = made_up(image_shape, count)
    runners = {"cnntrain": ours(checked, splits), "keras": theirs(checked, splits)}
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
    return Splits(examples, examples, examples, tuple("0123456789"), {})


def network(checked: Spec, splits: Splits) -> keras.Model:
    """The compiled network, as the trainer makes it."""
    built = build(checked, splits, total_steps=1000)
    rate = checked.schedule(100, 1000)
    trainee = keras.Model(built.inputs, built.outputs)
    optimizer = checked.optimizer(built, rate)
    trainee.compile(optimizer, losses.cross_entropy, metrics=losses.metrics())
    return trainee


def ours(checked: Spec, splits: Splits) -> Epoch:
    """An epoch as the trainer runs it: our pipeline, and a callback after each step."""
    trainee = network(checked, splits)
    steps = len(splits.train) // checked.batch_size
    batches = pipeline.training(
        splits.train, checked.batch_size, steps, checked.augmentation, checked.seed
    )
    return lambda: trainee.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)


def theirs(checked: Spec, splits: Splits) -> Epoch:
    """An epoch as a notebook runs it: `fit` on the arrays, shuffled."""
    model = keras.Sequential(
        [keras.Input(splits.image_shape), *build(checked, splits, total_steps=1000).layers[1:]]
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
