"""Measure what a request asks for, one model after another, and gather the results."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from cnntrain.benchmarks.inference_ways import compare_inference
from cnntrain.benchmarks.machine import describe_machine
from cnntrain.benchmarks.request import CASES, INFERENCE_WAYS, TRAINING_WAYS, Request
from cnntrain.benchmarks.startup import measure_startup
from cnntrain.benchmarks.training_ways import compare_trainings, make_random_splits
from cnntrain.benchmarks.turns import Announce, Comparison, Timing, summarise_values
from cnntrain.training.devices.device import inspect_device
from cnntrain.training.devices.setup import configure_backend


@dataclass(frozen=True)
class Results:
    """What was measured: the training and inference of each model, and the start of commands.

    `clock` is what rates are compared by: `cpu`, or `wall` where a GPU does the work.
    """

    machine: dict[str, Any]
    clock: str
    rounds: int
    settings: dict[str, dict[str, Any]]
    training: list[Comparison]
    inference: list[Comparison]
    startup: dict[str, list[Timing]]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values, with the timings of each round."""
        return {
            "machine": self.machine,
            "clock": self.clock,
            "rounds": self.rounds,
            "settings": self.settings,
            "training": [comparison.to_json() for comparison in self.training],
            "inference": [comparison.to_json() for comparison in self.inference],
            "startup": {
                name: {
                    "cpu_seconds": summarise_values([timing.cpu for timing in timings]),
                    "seconds": summarise_values([timing.wall for timing in timings]),
                }
                for name, timings in self.startup.items()
            },
            "notes": self.notes,
        }


def run_benchmark(request: Request) -> Results:
    """Measure everything that was asked for; a line on standard error says what goes on."""
    share_gpu_memory()
    configure_backend(next(iter(request.specs.values())))
    has_gpu = bool(inspect_device().gpus)
    models = [
        model for model in request.specs
        if has_gpu or request.chose_models or not CASES[model].slow_on_cpu
    ]  # fmt: skip
    training: list[Comparison] = []
    inference: list[Comparison] = []
    startup: dict[str, list[Timing]] = {}
    with show_turns() as announce:
        if "startup" in request.ways:
            startup = measure_startup(request.rounds, lambda line: announce(f"start-up, {line}"))
        for model in models:
            spec, names, rounds = request.specs[model], request.ways, request.rounds
            count = request.count_steps(model) * spec.batch_size
            splits = make_random_splits(CASES[model].image_shape, count, spec.batch_size)

            def announce_model(line: str, model: str = model) -> None:
                announce(f"{model}, {line}")

            for results, compare, ways in (
                (training, compare_trainings, TRAINING_WAYS),
                (inference, compare_inference, INFERENCE_WAYS),
            ):
                if chosen := tuple(name for name in ways if name in names):
                    results.append(compare(model, spec, splits, chosen, rounds, announce_model))
    return Results(
        machine=describe_machine(),
        clock="wall" if has_gpu else "cpu",
        rounds=request.rounds,
        settings={model: request.specs[model].deciding_values for model in models},
        training=training,
        inference=inference,
        startup=startup,
        notes=request.notes,
    )


def share_gpu_memory() -> None:
    """Let TensorFlow and JAX take a GPU's memory as they need it: PyTorch wants some, too."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


@contextlib.contextmanager
def show_turns() -> Iterator[Announce]:
    """Yield a function that shows a line on standard error: in a terminal, in place of the last.

    Nothing moves by itself, as a bar would: that would take the processor's time.
    """
    is_terminal = sys.stderr.isatty()

    def show(line: str) -> None:
        print(f"\r\x1b[K{line}" if is_terminal else line, end="" if is_terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    try:
        yield show
    finally:
        if is_terminal:
            show("")
