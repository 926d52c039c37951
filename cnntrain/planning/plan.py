"""What a run would be: counted from its spec, without training and without preparing data."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from cnntrain.analysis.graph import LayerRow
from cnntrain.analysis.kept_activations import estimate_activations
from cnntrain.analysis.layer_table import count_totals, describe_layers, drop_auxiliary_heads
from cnntrain.data.device_memory import DeviceMemory
from cnntrain.data.steps import plan_steps, shrink_batch_size
from cnntrain.planning.batch_size import get_device_memory
from cnntrain.planning.dataset_outline import DatasetOutline, outline_dataset
from cnntrain.planning.step_memory import (
    MemoryEstimate,
    NetworkDraft,
    draft_network,
    estimate_memory,
)
from cnntrain.planning.warnings import collect_warnings
from cnntrain.spec.contradictions import count_known_replicas
from cnntrain.spec.spec import Spec
from cnntrain.training.fitting import in_steps

CURVE_POINTS = 240  # of the learning-rate curve


@dataclass(frozen=True)
class Plan:
    """A run before it begins; bytes, steps, and multiply-adds of one image forward."""

    spec: Spec
    network_name: str  # of the network
    outline: DatasetOutline
    totals: dict[str, int]
    layers: Sequence[LayerRow]
    kept_bytes_by_layer: dict[
        str, int
    ]  # bytes for one image that each layer needs for its derivative
    memory: MemoryEstimate
    device_memory: DeviceMemory
    process_bytes: int  # bytes of this process, with TensorFlow loaded
    steps_per_epoch: int
    total_steps: int
    phases: Sequence[int]  # steps of each
    learning_rates: Sequence[tuple[int, float]]  # (step, learning rate)
    warnings: Sequence[str]


def plan_run(spec: Spec, config_dir: str | None) -> Plan:
    """Return the plan of a run; SpecError for what the run would refuse before its first step."""
    base = psutil.Process(os.getpid()).memory_info().rss
    known = outline_dataset(spec, config_dir)
    spec, note = shrink_batch_size(spec, len(known.splits.train), count_known_replicas(spec))
    steps_per_epoch, total_steps = plan_steps(spec, known.splits.train)
    drafted = draft_network(spec, known)
    lengths = in_steps(drafted.phases, steps_per_epoch, total_steps)
    rates = sample_learning_rates(spec, drafted, lengths, steps_per_epoch)
    needed = estimate_memory(spec, known, drafted)
    model = drafted.model
    rows = describe_layers(drop_auxiliary_heads(model))
    kept = remove_body_prefix(estimate_activations(drafted.network).bytes_by_layer, model.name)
    made = Plan(
        spec, model.name, known, count_totals(model), rows, kept, needed, get_device_memory(),
        base, steps_per_epoch, total_steps, lengths, rates, [],
    )  # fmt: skip
    found = [note] if note is not None else []
    found += collect_warnings(spec, known, drafted, total_steps, needed, made.device_memory)
    return dataclasses.replace(made, warnings=found)


def remove_body_prefix(keeps: dict[str, int], body: str) -> dict[str, int]:
    """By the names of the body's own layers, as the other tables have them."""
    return {name.removeprefix(f"{body}/"): size for name, size in keeps.items()}


def sample_learning_rates(
    spec: Spec, drafted: NetworkDraft, lengths: Sequence[int], steps_per_epoch: int
) -> list[tuple[int, float]]:
    """Points (step, rate) of the learning rate through all phases."""
    points, began = list[tuple[int, float]](), 0
    for phase, length in zip(drafted.phases, lengths, strict=True):
        if not length:
            continue
        rate = spec.schedule(steps_per_epoch, length)
        rate.base = phase.learning_rate or spec.optimizer["learning_rate"]
        count = max(2, round(CURVE_POINTS * length / sum(lengths)))
        steps = np.unique(np.linspace(0, length - 1, count).astype(np.int32))
        values = keras.ops.convert_to_numpy(rate(keras.ops.convert_to_tensor(steps)))
        values = np.broadcast_to(values, steps.shape)
        points += [(began + int(s), float(v)) for s, v in zip(steps, values, strict=True)]
        began += length
    return points
