"""What a run would be: counted from its spec, without training and without preparing data."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from cnntrain.analysis.device_memory import Room
from cnntrain.analysis.graph import Row
from cnntrain.analysis.kept_activations import activations
from cnntrain.analysis.layer_table import anatomy, evaluated, totals
from cnntrain.data.steps import plan, shrunk
from cnntrain.planning.batch_size import room_of
from cnntrain.planning.dataset_outline import Outline, outline
from cnntrain.planning.step_memory import Draft, Memory, draft, memory
from cnntrain.planning.warnings import cautions
from cnntrain.spec.contradictions import known_replicas
from cnntrain.spec.spec import Spec
from cnntrain.training.fitting import in_steps

POINTS = 240  # of the learning-rate curve


@dataclass(frozen=True)
class Plan:
    """A run before it begins; bytes, steps, and multiply-adds of one image forward."""

    spec: Spec
    name: str  # of the network
    outline: Outline
    totals: dict[str, int]
    layers: Sequence[Row]
    keeps: dict[str, int]  # bytes for one image that each layer needs for its derivative
    memory: Memory
    room: Room
    base: int  # bytes of this process, with TensorFlow loaded
    steps_per_epoch: int
    total_steps: int
    phases: Sequence[int]  # steps of each
    rates: Sequence[tuple[int, float]]  # (step, learning rate)
    warnings: Sequence[str]


def planned(spec: Spec, config_dir: str | None) -> Plan:
    """Return the plan of a run; SpecError for what the run would refuse before its first step."""
    base = psutil.Process(os.getpid()).memory_info().rss
    known = outline(spec, config_dir)
    spec, note = shrunk(spec, len(known.splits.train), known_replicas(spec))
    steps_per_epoch, total_steps = plan(spec, known.splits.train)
    drafted = draft(spec, known)
    lengths = in_steps(drafted.phases, steps_per_epoch, total_steps)
    rates = curve(spec, drafted, lengths, steps_per_epoch)
    needed = memory(spec, known, drafted)
    made = Plan(
        spec, drafted.body.name, known, totals(drafted.body), anatomy(evaluated(drafted.body)),
        inner(activations(drafted.network).of, drafted.body.name), needed, room_of(spec), base,
        steps_per_epoch, total_steps, lengths, rates, [],
    )  # fmt: skip
    found = [note] if note is not None else []
    found += cautions(spec, known, drafted, total_steps, needed, made.room)
    return dataclasses.replace(made, warnings=found)


def inner(keeps: dict[str, int], body: str) -> dict[str, int]:
    """By the names of the body's own layers, as the other tables have them."""
    return {name.removeprefix(f"{body}/"): size for name, size in keeps.items()}


def curve(
    spec: Spec, drafted: Draft, lengths: Sequence[int], steps_per_epoch: int
) -> list[tuple[int, float]]:
    """Points (step, rate) of the learning rate through all phases."""
    points, began = list[tuple[int, float]](), 0
    for phase, length in zip(drafted.phases, lengths, strict=True):
        if not length:
            continue
        rate = spec.schedule(steps_per_epoch, length)
        rate.base = phase.learning_rate or spec.optimizer["learning_rate"]
        count = max(2, round(POINTS * length / sum(lengths)))
        steps = np.unique(np.linspace(0, length - 1, count).astype(np.int32))
        values = keras.ops.convert_to_numpy(rate(keras.ops.convert_to_tensor(steps)))
        values = np.broadcast_to(values, steps.shape)
        points += [(began + int(s), float(v)) for s, v in zip(steps, values, strict=True)]
        began += length
    return points
